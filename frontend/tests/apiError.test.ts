import { expect, test } from "vitest";

import { ApiError, errorFromResponse, problemFromBody } from "../src/apiError";

const body = (value: unknown): string => JSON.stringify(value);

test("problem details become their detail", () => {
  const problem = {
    type: "about:blank",
    title: "Not found",
    status: 404,
    detail: "No such conversation.",
    trace_id: "abc",
  };
  expect(problemFromBody(404, body(problem))).toEqual({
    status: 404,
    message: "No such conversation.",
    fields: [],
    traceId: "abc",
  });
});

test("without a detail the title is said", () => {
  expect(problemFromBody(409, body({ title: "Conflict with another body" })).message).toBe(
    "Conflict with another body",
  );
});

test("fields are named", () => {
  const problem = { detail: "Not valid.", errors: [{ field: "text", message: "too long" }, { field: 3 }, null] };
  expect(problemFromBody(422, body(problem))).toEqual({
    status: 422,
    message: "Not valid. (text: too long)",
    fields: [{ field: "text", message: "too long" }],
    traceId: null,
  });
});

test.each([
  ["", 503, "A part of Hopline is down at the moment."],
  ["<html>502 Bad Gateway</html>", 502, "A part of Hopline isn't answering."],
  ["[]", 404, "This doesn't exist, or isn't yours."],
  ["null", 429, "Too many requests at once. Wait a moment."],
  [body({ detail: "  ", title: 7 }), 413, "This is too long."],
  [body({ detail: { nested: true } }), 418, "Hopline answered with an error (418)."],
])("%j with status %i has plain words", (text, status, message) => {
  expect(problemFromBody(status, text).message).toBe(message);
});

test("a response becomes an error that knows whether it passes", async () => {
  const busy = await errorFromResponse(new Response(body({ detail: "Down." }), { status: 503 }));
  const refused = await errorFromResponse(new Response(body({ detail: "No." }), { status: 422 }));
  expect([busy, refused].map((error) => [error instanceof ApiError, error.message, error.passing])).toEqual([
    [true, "Down.", true],
    [true, "No.", false],
  ]);
});
