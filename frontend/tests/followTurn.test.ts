import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { type Answer, newAnswer } from "../src/answer";
import { submitTurn } from "../src/api";
import { followTurn } from "../src/followTurn";

/** One answer of the scripted gateway: a stream's frames and how it ends, or a whole response, or no answer at all. */
type Scripted = { readonly frames: readonly string[]; readonly ends: "closed" | "broken" } | Response | "unreachable";

interface Call {
  readonly method: string;
  readonly path: string;
  readonly key: string | null;
  readonly lastEventId: string | null;
}

let script: Scripted[] = [];
let calls: Call[] = [];
let shown: Answer[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  script = [];
  calls = [];
  shown = [];
  vi.stubGlobal("fetch", (path: string, init: RequestInit): Promise<Response> => {
    const headers = new Headers(init.headers);
    calls.push({
      method: init.method ?? "GET",
      path,
      key: headers.get("Idempotency-Key"),
      lastEventId: headers.get("Last-Event-ID"),
    });
    const next = script.shift();
    if (next === undefined) throw new Error("the script is over");
    if (next === "unreachable") return Promise.reject(new TypeError("Failed to fetch"));
    return Promise.resolve(next instanceof Response ? next : streamOf(next));
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function streamOf({
  frames,
  ends,
}: {
  readonly frames: readonly string[];
  readonly ends: "closed" | "broken";
}): Response {
  const left = [...frames];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const frame = left.shift();
      if (frame !== undefined) controller.enqueue(new TextEncoder().encode(frame));
      else if (ends === "closed") controller.close();
      else controller.error(new TypeError("network error"));
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
}

function frame(kind: string, id: string, data: object): string {
  return `id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}

const turn = (attempt: number, state: string): string =>
  frame("turn", `${attempt}-0`, {
    turn_id: "t",
    conversation_id: "c",
    person_message_id: "p",
    model: "m",
    attempt,
    trace_id: "abc",
    state,
  });
const delta = (id: string, offset: number, text: string): string => frame("delta", id, { offset, text });
const end = (id: string, length: number): string =>
  frame("end", id, { state: "complete", length, finish_reason: "stop" });
const problem = (status: number, detail: string): Response => new Response(JSON.stringify({ detail }), { status });

async function followed(): Promise<Answer> {
  const following = followTurn(newAnswer("m"), {
    submit: (signal) => submitTurn("c", { text: "Hello", model: "m" }, { idempotencyKey: "key", signal }),
    onChange: (answer) => shown.push(answer),
    onTitle: () => undefined,
    onMalformed: (error) => {
      throw error;
    },
    signal: new AbortController().signal,
  });
  await vi.runAllTimersAsync();
  await following;
  const last = shown.at(-1);
  if (last === undefined) throw new Error("nothing was shown");
  return last;
}

const submit: Call = { method: "POST", path: "/api/conversations/c/turns", key: "key", lastEventId: null };
const attach = (lastEventId: string | null): Call => ({
  method: "GET",
  path: "/api/turns/t/events",
  key: null,
  lastEventId,
});

test("one stream brings the whole answer", async () => {
  script = [
    {
      frames: [turn(0, "queued"), turn(1, "running"), delta("1-1", 0, "Hi "), delta("1-2", 3, "🧵"), end("1-3", 4)],
      ends: "closed",
    },
  ];
  expect(await followed()).toMatchObject({ phase: "complete", held: { text: "Hi 🧵" } });
  expect(calls).toEqual([submit]);
});

test("a stream that breaks is taken up after the last event, with the text kept", async () => {
  script = [
    { frames: [turn(1, "running"), delta("1-1", 0, "Hi ")], ends: "broken" },
    "unreachable",
    problem(503, "Down."),
    { frames: [turn(1, "running"), delta("1-2", 3, "you"), end("1-3", 6)], ends: "closed" },
  ];
  expect(await followed()).toMatchObject({ phase: "complete", link: "live", held: { text: "Hi you" } });
  expect(calls).toEqual([submit, attach("1-1"), attach("1-1"), attach("1-1")]);
  expect(shown.some(({ link, held }) => link === "lost" && held.text === "Hi ")).toBe(true);
});

test("a stream that ends without an end is taken up too", async () => {
  script = [
    { frames: [turn(1, "running"), delta("1-1", 0, "Hi")], ends: "closed" },
    { frames: [turn(1, "running"), end("1-2", 2)], ends: "closed" },
  ];
  expect(await followed()).toMatchObject({ phase: "complete", held: { text: "Hi" } });
});

test("a submit without an answer is repeated with the same key", async () => {
  script = [
    "unreachable",
    problem(502, "Bad gateway."),
    { frames: [turn(1, "running"), delta("1-1", 0, "Hi"), end("1-2", 2)], ends: "closed" },
  ];
  expect(await followed()).toMatchObject({ phase: "complete" });
  expect(calls).toEqual([submit, submit, submit]);
});

test("a submit is repeated when the stream breaks before the turn has a name", async () => {
  script = [
    { frames: [": hello\n\n"], ends: "broken" },
    { frames: [turn(1, "running"), end("1-1", 0)], ends: "closed" },
  ];
  expect(await followed()).toMatchObject({ phase: "complete" });
  expect(calls).toEqual([submit, submit]);
});

test("a submit that finds no gateway four times is unsent", async () => {
  script = ["unreachable", "unreachable", "unreachable", "unreachable"];
  expect(await followed()).toMatchObject({ phase: "unsent", problem: { retryable: true } });
});

test("a submit that is refused is unsent at once, in the gateway's words", async () => {
  script = [problem(422, "This model doesn't exist.")];
  expect(await followed()).toMatchObject({ phase: "unsent", problem: { message: "This model doesn't exist." } });
  expect(calls).toEqual([submit]);
});

test("a turn that is gone when the page comes back is failed", async () => {
  script = [{ frames: [turn(1, "running")], ends: "broken" }, problem(404, "No such turn.")];
  expect(await followed()).toMatchObject({ phase: "failed", problem: { message: "No such turn." } });
});

test("a gap makes the page begin anew, without a last event id", async () => {
  script = [
    { frames: [turn(1, "running"), delta("1-1", 0, "Hi "), delta("1-3", 6, "!")], ends: "closed" },
    { frames: [turn(1, "running"), delta("1-3", 0, "Hi you!"), end("1-4", 7)], ends: "closed" },
  ];
  expect(await followed()).toMatchObject({ phase: "complete", held: { text: "Hi you!" }, hasGap: false });
  expect(calls).toEqual([submit, attach(null)]);
});

test("an end whose length differs makes the page read the turn", async () => {
  const whole = { id: "t", text: "Hi you", state: "complete" };
  script = [
    { frames: [turn(1, "running"), delta("1-1", 0, "Hi "), end("1-3", 6)], ends: "closed" },
    new Response(JSON.stringify(whole)),
  ];
  expect(await followed()).toMatchObject({ phase: "complete", held: { text: "Hi you", length: 6 } });
  expect(calls.at(-1)).toMatchObject({ method: "GET", path: "/api/turns/t" });
});

test("another worker's restart replaces what the lost one wrote", async () => {
  script = [
    { frames: [turn(1, "running"), delta("1-1", 0, "Hi ther")], ends: "broken" },
    {
      frames: [
        turn(2, "running"),
        frame("restart", "2-1", { attempt: 2, offset: 3, reason: "worker_lost" }),
        delta("2-2", 3, "you"),
        end("2-3", 6),
      ],
      ends: "closed",
    },
  ];
  expect(await followed()).toMatchObject({ phase: "complete", held: { text: "Hi you" }, attempt: 2 });
});

test("an answer that is not a stream is not taken for one", async () => {
  script = [
    new Response("<html>", { headers: { "Content-Type": "text/html" } }),
    "unreachable",
    "unreachable",
    "unreachable",
  ];
  expect(await followed()).toMatchObject({ phase: "unsent" });
});
