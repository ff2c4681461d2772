/**
 * The protocol of a turn's events, as the page reads it.
 *
 * `TurnEventData` is the table; the server writes by the same one. Unknown kinds and unknown fields are skipped, so that
 * a page and a gateway of different releases get on. An event's id is `<attempt>-<seq>`; what the gateway tells from a
 * snapshot has none.
 */
import type { Usage } from "./api";
import { readEventStream, type ServerSentEvent } from "./eventStream";

export interface TurnEventData {
  /** First in every stream, and again when a worker claims the turn. */
  turn: {
    readonly turn_id: string;
    readonly conversation_id: string;
    readonly person_message_id: string;
    readonly model: string;
    readonly attempt: number;
    readonly trace_id: string | null;
    readonly state: string;
  };
  queued: { readonly place: number };
  /** `offset`: Unicode code points before `text`. */
  delta: { readonly offset: number; readonly text: string };
  /** What a provider streams beside plain text; this page only sees from it that the answer is under way. */
  chunk: object;
  /** The text from `offset` on is replaced by what follows. */
  restart: { readonly attempt: number; readonly offset: number; readonly reason: string };
  switch: { readonly from_model: string; readonly to_model: string; readonly reason: string };
  usage: Usage;
  title: { readonly title: string };
  end: { readonly state: "complete" | "stopped"; readonly length: number; readonly finish_reason: string | null };
  error: { readonly code: string; readonly message: string; readonly retryable: boolean; readonly length: number };
}

export type TurnEventKind = keyof TurnEventData;

export type TurnEvent = {
  [Kind in TurnEventKind]: {
    readonly kind: Kind;
    readonly data: TurnEventData[Kind];
    /** From the event's own id; null for an event that was never in the stream of deltas, such as one from a snapshot. */
    readonly attempt: number | null;
    readonly lastEventId: string | null;
  };
}[TurnEventKind];

/** An event of a known kind doesn't hold what the table says. `message` holds names only, never content. */
export class MalformedEvent extends Error {
  override readonly name = "MalformedEvent";
}

type Decoders = { readonly [Kind in TurnEventKind]: (fields: Fields) => TurnEventData[Kind] };

const decoders: Decoders = {
  turn: (fields) => ({
    turn_id: fields.text("turn_id"),
    conversation_id: fields.text("conversation_id"),
    person_message_id: fields.text("person_message_id"),
    model: fields.text("model"),
    attempt: fields.count("attempt"),
    trace_id: fields.textOrNull("trace_id"),
    state: fields.text("state"),
  }),
  queued: (fields) => ({ place: fields.count("place") }),
  delta: (fields) => ({ offset: fields.count("offset"), text: fields.text("text") }),
  chunk: () => ({}),
  restart: (fields) => ({
    attempt: fields.count("attempt"),
    offset: fields.count("offset"),
    reason: fields.text("reason"),
  }),
  switch: (fields) => ({
    from_model: fields.text("from_model"),
    to_model: fields.text("to_model"),
    reason: fields.text("reason"),
  }),
  usage: (fields) => ({
    prompt_tokens: fields.count("prompt_tokens"),
    completion_tokens: fields.count("completion_tokens"),
    total_tokens: fields.count("total_tokens"),
    cost_usd: fields.money("cost_usd"),
    source: fields.text("source"),
  }),
  title: (fields) => ({ title: fields.text("title") }),
  end: (fields) => ({
    state: fields.oneOf("state", ["complete", "stopped"]),
    length: fields.count("length"),
    finish_reason: fields.textOrNull("finish_reason"),
  }),
  error: (fields) => ({
    code: fields.text("code"),
    message: fields.text("message"),
    retryable: fields.flag("retryable"),
    length: fields.count("length"),
  }),
};

/**
 * The turn event that a frame holds; null for a kind this release doesn't know.
 *
 * Raises: MalformedEvent.
 */
export function decodeTurnEvent(frame: ServerSentEvent): TurnEvent | null {
  if (!isKnownKind(frame.event)) return null;
  const fields = new Fields(frame.event, frame.data);
  // The kind picks decoder and type alike; TypeScript can't follow one name through both.
  return {
    kind: frame.event,
    data: decoders[frame.event](fields),
    attempt: attemptOf(frame.id),
    lastEventId: frame.lastEventId,
  } as TurnEvent;
}

/**
 * Yields the turn events of each piece that arrives. A malformed one is handed to `onMalformed` and skipped: a delta
 * that went missing so shows as a gap at the next one.
 */
export async function* readTurnEvents(
  body: ReadableStream<Uint8Array>,
  options: { readonly silenceLimitMs: number; readonly onMalformed: (error: MalformedEvent) => void },
): AsyncGenerator<TurnEvent[]> {
  for await (const frames of readEventStream(body, options.silenceLimitMs)) {
    const events: TurnEvent[] = [];
    for (const frame of frames) {
      try {
        const event = decodeTurnEvent(frame);
        if (event !== null) events.push(event);
      } catch (error) {
        if (!(error instanceof MalformedEvent)) throw error;
        options.onMalformed(error);
      }
    }
    if (events.length > 0) yield events;
  }
}

function isKnownKind(kind: string): kind is TurnEventKind {
  return Object.hasOwn(decoders, kind);
}

function attemptOf(id: string | null): number | null {
  const parts = id === null ? null : /^(\d{1,9})-\d+$/.exec(id);
  return parts === null ? null : Number(parts[1]);
}

class Fields {
  readonly #kind: string;
  readonly #values: Record<string, unknown>;

  constructor(kind: string, json: string) {
    this.#kind = kind;
    this.#values = parsedObject(kind, json);
  }

  text(name: string): string {
    const value = this.#values[name];
    return typeof value === "string" ? value : this.#refuse(name);
  }

  textOrNull(name: string): string | null {
    return (this.#values[name] ?? null) === null ? null : this.text(name);
  }

  count(name: string): number {
    const value = this.#values[name];
    return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : this.#refuse(name);
  }

  flag(name: string): boolean {
    const value = this.#values[name];
    return typeof value === "boolean" ? value : this.#refuse(name);
  }

  money(name: string): string | number | null {
    const value = this.#values[name] ?? null;
    if (value === null || typeof value === "number" || typeof value === "string") return value;
    return this.#refuse(name);
  }

  oneOf<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const value = this.#values[name];
    return choices.find((choice) => choice === value) ?? this.#refuse(name);
  }

  #refuse(name: string): never {
    throw new MalformedEvent(`event ${this.#kind}: field ${name}`);
  }
}

function parsedObject(kind: string, json: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // The parser's own message quotes the text.
    throw new MalformedEvent(`event ${kind}: not JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MalformedEvent(`event ${kind}: not an object`);
  }
  return value as Record<string, unknown>;
}
