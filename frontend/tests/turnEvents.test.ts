import { expect, test } from "vitest";

import { decodeTurnEvent, MalformedEvent, readTurnEvents } from "../src/turnEvents";

const frame = (event: string, data: unknown, id: string | null = "2-7") => ({
  event,
  data: JSON.stringify(data),
  id,
  lastEventId: id,
});

const table: readonly [string, Record<string, unknown>][] = [
  [
    "turn",
    {
      turn_id: "t",
      conversation_id: "c",
      person_message_id: "p",
      model: "m",
      attempt: 2,
      trace_id: "abc",
      state: "running",
    },
  ],
  ["queued", { place: 3 }],
  ["delta", { offset: 5, text: "🧵 words" }],
  ["chunk", {}],
  ["restart", { attempt: 2, offset: 5, reason: "worker_lost" }],
  ["switch", { from_model: "a", to_model: "b", reason: "provider_error" }],
  ["usage", { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, cost_usd: "0.00012", source: "reported" }],
  ["title", { title: "A title" }],
  ["end", { state: "complete", length: 12, finish_reason: "stop" }],
  ["error", { code: "provider_down", message: "Words for a person.", retryable: true, length: 0 }],
];

test.each(table)("%s is read as the table says", (kind, data) => {
  expect(decodeTurnEvent(frame(kind, data))).toEqual({ kind, data, attempt: 2, lastEventId: "2-7" });
});

test.each(table)("%s may hold fields of a later release", (kind, data) => {
  expect(decodeTurnEvent(frame(kind, { ...data, later: { than: "now" } }))?.data).toEqual(data);
});

test.each(table.flatMap(([kind, data]) => Object.keys(data).map((field) => [kind, field, data] as const)))(
  "%s with a wrong %s is malformed",
  (kind, field, data) => {
    expect(() => decodeTurnEvent(frame(kind, { ...data, [field]: { not: "this" } }))).toThrow(MalformedEvent);
  },
);

test.each(["ping", "toString", "__proto__", "message"])("the unknown kind %s is skipped", (kind) => {
  expect(decodeTurnEvent(frame(kind, {}))).toBeNull();
});

test.each(["", "nonsense", "[]", "null", '"text"', "{", "\0"])("data that is no object is malformed: %j", (data) => {
  expect(() => decodeTurnEvent({ event: "delta", data, id: null, lastEventId: null })).toThrow(MalformedEvent);
});

test("what is malformed is told without its content", () => {
  expect(() => decodeTurnEvent({ event: "delta", data: "a secret", id: null, lastEventId: null })).toThrow(
    /^event delta: not JSON$/,
  );
});

test.each([-1, 1.5, Number.MAX_SAFE_INTEGER + 1, "3", null])("an offset of %j is malformed", (offset) => {
  expect(() => decodeTurnEvent(frame("delta", { offset, text: "a" }))).toThrow(MalformedEvent);
});

test.each([null, "", "7", "a-b", "-1-2", "1-", "1-2-3"])("the id %j names no attempt", (id) => {
  expect(decodeTurnEvent(frame("title", { title: "t" }, id))?.attempt).toBeNull();
});

test("a malformed event is reported and the next ones still come", async () => {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const text = 'event: delta\ndata: {"offset":"x"}\n\nevent: title\ndata: {"title":"t"}\n\n';
      controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });
  const reported: string[] = [];
  const kinds: string[] = [];
  const onMalformed = (error: MalformedEvent): void => void reported.push(error.message);
  for await (const events of readTurnEvents(body, { silenceLimitMs: 1_000, onMalformed })) {
    kinds.push(...events.map(({ kind }) => kind));
  }
  expect({ reported, kinds }).toEqual({ reported: ["event delta: field offset"], kinds: ["title"] });
});
