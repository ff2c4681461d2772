import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Conversation, Message } from "../src/api";
import { OpenConversation } from "../src/openConversation.svelte";

interface Call {
  readonly call: string;
  readonly body: unknown;
  readonly key: string | null;
}

let calls: Call[] = [];
let answers: Record<string, (() => Response)[]> = {};

beforeEach(() => {
  vi.useFakeTimers();
  calls = [];
  answers = {};
  vi.stubGlobal("fetch", (path: string, init: RequestInit): Promise<Response> => {
    const call = `${init.method ?? "GET"} ${path}`;
    const body: unknown = typeof init.body === "string" ? JSON.parse(init.body) : null;
    calls.push({ call, body, key: new Headers(init.headers).get("Idempotency-Key") });
    const answer = answers[call]?.shift();
    return answer === undefined ? Promise.reject(new TypeError("Failed to fetch")) : Promise.resolve(answer());
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const conversation: Conversation = {
  id: "c",
  title: "",
  model: "m",
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
};

const json = (value: unknown) => (): Response => new Response(JSON.stringify(value));
const refusal = (status: number, detail: string) => (): Response =>
  new Response(JSON.stringify({ detail }), { status });

function stream(turnId: string, ...rest: [kind: string, data: object][]): () => Response {
  const turn = {
    turn_id: turnId,
    conversation_id: "c",
    person_message_id: `p-${turnId}`,
    model: "m",
    attempt: 1,
    trace_id: null,
    state: "running",
  };
  const frames = [["turn", turn] as const, ...rest].map(
    ([kind, data]) => `event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`,
  );
  return () => new Response(frames.join(""), { headers: { "Content-Type": "text/event-stream" } });
}

const says = (text: string): [kind: string, data: object][] => [
  ["delta", { offset: 0, text }],
  ["end", { state: "complete", length: text.length, finish_reason: "stop" }],
];
const fails: [kind: string, data: object] = ["error", { code: "down", message: "Down.", retryable: true, length: 0 }];

function opened(id: string | null): OpenConversation {
  const open = new OpenConversation(id, {
    telemetrySettled: () => Promise.resolve(),
    onCreated: () => undefined,
    onTitle: () => undefined,
    onTurn: () => undefined,
  });
  open.model = "m";
  return open;
}

async function settled(work: Promise<void>): Promise<void> {
  await vi.runAllTimersAsync();
  await work;
}

const shown = (open: OpenConversation): string[] =>
  open.messages.map((message) =>
    message.role === "user" ? message.text : `${message.answer.phase}: ${message.answer.held.text}`,
  );

const submits = (): Call[] => calls.filter(({ call }) => call === "POST /api/conversations/c/turns");

test("the first message makes the conversation", async () => {
  answers = {
    "POST /api/conversations": [json(conversation)],
    "POST /api/conversations/c/turns": [stream("t1", ...says("Hi"))],
  };
  const open = opened(null);
  await settled(open.send("Hello"));
  expect(open.id).toBe("c");
  expect(shown(open)).toEqual(["Hello", "complete: Hi"]);
  expect(submits()[0]?.body).toEqual({ text: "Hello", model: "m" });
});

test("a message follows the answer above it", async () => {
  answers = { "POST /api/conversations/c/turns": [stream("t1", ...says("Hi")), stream("t2", ...says("Yes"))] };
  const open = opened("c");
  await settled(open.send("Hello"));
  await settled(open.send("And?"));
  expect(submits()[1]?.body).toEqual({ text: "And?", model: "m", parent_id: "t1" });
});

test("an unsent message is sent again with its own key", async () => {
  answers = { "POST /api/conversations/c/turns": [refusal(500, "Broken."), stream("t1", ...says("Hi"))] };
  const open = opened("c");
  await settled(open.send("Hello"));
  expect(shown(open)).toEqual(["Hello", "unsent: "]);
  const [, unsent] = open.messages;
  if (unsent?.role !== "assistant") throw new Error("no answer is shown");
  await settled(open.sendAgain(unsent));
  expect(shown(open)).toEqual(["Hello", "complete: Hi"]);
  const [first, second] = submits();
  expect([first?.key === second?.key, first?.body]).toEqual([true, second?.body]);
});

test("a failed answer is asked for again as a turn of its own, beside the failed one", async () => {
  answers = {
    "POST /api/conversations/c/turns": [stream("t1", ...says("Hi")), stream("t2", fails), stream("t3", ...says("Yes"))],
  };
  const open = opened("c");
  await settled(open.send("Hello"));
  await settled(open.send("And?"));
  const failed = open.messages[3];
  if (failed?.role !== "assistant") throw new Error("no answer is shown");
  await settled(open.sendAgain(failed));
  expect(shown(open)).toEqual(["Hello", "complete: Hi", "And?", "complete: Yes"]);
  const [, second, third] = submits();
  expect([third?.body, second?.key === third?.key]).toEqual([{ text: "And?", model: "m", parent_id: "t1" }, false]);
});

test("history is shown, and an answer under way in it is followed", async () => {
  const turn = {
    id: "t1",
    conversation_id: "c",
    person_message_id: "p1",
    state: "running",
    model: "m",
    attempt: 1,
    usage: null,
    error: null,
    finish_reason: null,
    trace_id: null,
  } as const;
  const messages: Message[] = [
    {
      id: "p1",
      parent_id: null,
      role: "user",
      text: "Hello",
      model: null,
      created_at: "2026-01-01T00:00:00Z",
      turn: null,
    },
    { id: "t1", parent_id: "p1", role: "assistant", text: "Hi", model: "m", created_at: "2026-01-01T00:00:01Z", turn },
  ];
  answers = {
    "GET /api/conversations/c": [json({ ...conversation, messages })],
    "GET /api/turns/t1/events": [stream("t1", ...says("Hi there"))],
  };
  const open = opened("c");
  await settled(open.read());
  expect(shown(open)).toEqual(["Hello", "complete: Hi there"]);
});

test("a switch that is refused leaves the model as it was and says why", async () => {
  answers = { "POST /api/conversations/c/model": [refusal(422, "No such model.")] };
  const open = opened("c");
  await settled(open.switchModel("other"));
  expect([open.model, open.notice]).toEqual(["m", "The model was not switched. No such model."]);
});

test("a message waits for the switch before it", async () => {
  answers = {
    "POST /api/conversations/c/model": [json({})],
    "POST /api/conversations/c/turns": [stream("t1", ...says("Hi"))],
  };
  const open = opened("c");
  await settled(Promise.all([open.switchModel("other"), open.send("Hello")]).then(() => undefined));
  expect(calls.map(({ call, body }) => [call, body])).toEqual([
    ["POST /api/conversations/c/model", { model: "other" }],
    ["POST /api/conversations/c/turns", { text: "Hello", model: "other" }],
  ]);
});

test("leaving lets a message through that is still on its way, and then stops following", async () => {
  answers = { "POST /api/conversations/c/turns": [stream("t1", ["delta", { offset: 0, text: "Hi" }])] };
  const open = opened("c");
  const sending = open.send("Hello");
  open.leave();
  await settled(sending);
  expect(calls.map(({ call }) => call)).toEqual(["POST /api/conversations/c/turns"]);
});
