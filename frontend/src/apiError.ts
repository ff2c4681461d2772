/**
 * What can go wrong in a call to the gateway, and whether trying again helps.
 *
 * | error        | what happened                              | trying the same again                |
 * | ------------ | ------------------------------------------ | ------------------------------------ |
 * | Unreachable  | no answer came: offline, or gateway down   | helps once the connection is back    |
 * | ApiError     | the gateway answered with problem details  | helps where `passing` is true        |
 *
 * See: RFC 9457, problem details.
 */

export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

interface Problem {
  readonly status: number;
  readonly message: string;
  readonly fields: readonly FieldProblem[];
  readonly traceId: string | null;
}

/** The gateway refused or failed; `message` is for a person. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly fields: readonly FieldProblem[];
  readonly traceId: string | null;

  constructor(problem: Problem) {
    super(problem.message);
    this.status = problem.status;
    this.fields = problem.fields;
    this.traceId = problem.traceId;
  }

  /** True when the cause is expected to pass by itself. */
  get passing(): boolean {
    return [408, 425, 502, 503, 504].includes(this.status);
  }
}

/** No answer came. `message` is for a person. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";

  constructor() {
    super("Hopline can't be reached. Check the connection, or whether it is running.");
  }
}

const plainWords: Readonly<Record<number, string>> = {
  400: "The request was not understood.",
  401: "This Hopline asks for a sign-in, which this page can't do yet.",
  403: "This isn't allowed here.",
  404: "This doesn't exist, or isn't yours.",
  409: "Something else changed this at the same time.",
  413: "This is too long.",
  422: "This isn't valid.",
  429: "Too many requests at once. Wait a moment.",
  502: "A part of Hopline isn't answering.",
  503: "A part of Hopline is down at the moment.",
  504: "A part of Hopline took too long to answer.",
};

/** The error that a response which isn't `ok` stands for, whatever its body holds. */
export async function errorFromResponse(response: Response): Promise<ApiError> {
  const body = await response.text().catch(() => "");
  return new ApiError(problemFromBody(response.status, body));
}

/** Reads problem details; a body that is none yields plain words for the status. */
export function problemFromBody(status: number, body: string): Problem {
  const fallback = plainWords[status] ?? `Hopline answered with an error (${status}).`;
  const problem = parsedObject(body);
  const fields = fieldProblems(problem["errors"]);
  const said = shownText(problem["detail"]) ?? shownText(problem["title"]) ?? fallback;
  const named = fields.map(({ field, message }) => `${field}: ${message}`).join("; ");
  return {
    status,
    message: named === "" || said.includes(named) ? said : `${said} (${named})`,
    fields,
    traceId: shownText(problem["trace_id"]),
  };
}

function parsedObject(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

function fieldProblems(value: unknown): FieldProblem[] {
  if (!Array.isArray(value)) return [];
  return value.filter(isRecord).flatMap((entry) => {
    const field = shownText(entry["field"]);
    const message = shownText(entry["message"]);
    return field !== null && message !== null ? [{ field, message }] : [];
  });
}

function shownText(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
