import { describe, expect, test } from "vitest";

import { type Answer, answerFromMessage, applyTurnEvent, isUnderWay, newAnswer } from "../src/answer";
import { decodeTurnEvent } from "../src/turnEvents";

type Step = readonly [kind: string, id: string | null, data: object];

function after(start: Answer, ...steps: Step[]): Answer {
  return steps.reduce((answer, [event, id, data]) => {
    const decoded = decodeTurnEvent({ event, id, lastEventId: id, data: JSON.stringify(data) });
    return decoded === null ? answer : applyTurnEvent(answer, decoded);
  }, start);
}

const turn = (attempt: number, state: string): Step => [
  "turn",
  `${attempt}-0`,
  { turn_id: "t", conversation_id: "c", person_message_id: "p", model: "m", attempt, trace_id: "abc", state },
];
const delta = (id: string, offset: number, text: string): Step => ["delta", id, { offset, text }];
const restart = (attempt: number, offset: number): Step => [
  "restart",
  `${attempt}-1`,
  { attempt, offset, reason: "worker_lost" },
];
const end = (id: string, length: number): Step => ["end", id, { state: "complete", length, finish_reason: "stop" }];

const sent = newAnswer("m");

test("the first event names the turn", () => {
  expect(after(sent, turn(0, "queued"))).toMatchObject({
    phase: "queued",
    turnId: "t",
    personMessageId: "p",
    traceId: "abc",
    attempt: 0,
  });
});

test("a place in the queue is known until the first word", () => {
  const queued = after(sent, turn(0, "queued"), ["queued", "0-1", { place: 2 }]);
  expect([queued.place, after(queued, turn(1, "running"), delta("1-1", 0, "a")).place]).toEqual([2, null]);
});

test("an end with all of the text is over", () => {
  const whole = after(sent, turn(1, "running"), delta("1-1", 0, "a🧵"), end("1-2", 2));
  expect(whole).toMatchObject({
    phase: "complete",
    held: { text: "a🧵", length: 2 },
    wholeLength: 2,
    finishReason: "stop",
  });
  expect(isUnderWay(whole)).toBe(false);
});

test("a delta after missing words marks the gap and adds nothing", () => {
  expect(after(sent, turn(1, "running"), delta("1-1", 0, "ab"), delta("1-3", 5, "x"))).toMatchObject({
    hasGap: true,
    held: { text: "ab" },
  });
});

describe("a restart", () => {
  const broken = after(sent, turn(1, "running"), delta("1-1", 0, "a🧵bc"));

  test("cuts the text where it says, and new words follow there", () => {
    const again = after(broken, turn(2, "running"), restart(2, 2));
    expect(again).toMatchObject({ restarted: "worker_lost", held: { text: "a🧵", length: 2 } });
    expect(after(again, delta("2-2", 2, "X"))).toMatchObject({ restarted: null, held: { text: "a🧵X", length: 3 } });
  });

  test("leaves nothing to a superseded attempt", () => {
    const again = after(broken, turn(2, "running"), restart(2, 2), delta("1-2", 4, "late"), end("1-3", 8));
    expect(again).toMatchObject({ phase: "running", attempt: 2, held: { text: "a🧵" } });
  });

  test("of a superseded attempt is nothing itself", () => {
    const newer = after(broken, turn(3, "running"), delta("3-1", 4, "d"));
    expect(after(newer, restart(2, 0)).held.text).toBe("a🧵bcd");
  });

  test("from a snapshot, which has no id, counts after ids of an earlier attempt", () => {
    const snapshot: Step[] = [
      ["restart", null, { attempt: 2, offset: 0, reason: "worker_lost" }],
      ["delta", null, { offset: 0, text: "New" }],
    ];
    expect(after(broken, ...snapshot)).toMatchObject({ attempt: 2, held: { text: "New", length: 3 } });
  });

  test("may keep all of the text", () => {
    expect(after(broken, turn(2, "running"), restart(2, 4), delta("2-2", 4, "d")).held.text).toBe("a🧵bcd");
  });
});

test("what is replayed from the beginning is not doubled", () => {
  const half = after(sent, turn(1, "running"), delta("1-1", 0, "ab"), delta("1-2", 2, "cd"));
  const replayed = after(half, turn(1, "running"), delta("1-1", 0, "ab"), delta("1-2", 2, "cd"), delta("1-3", 4, "ef"));
  expect(replayed.held.text).toBe("abcdef");
});

test("a failure keeps the words that came and says what went wrong", () => {
  const failed = after(sent, turn(1, "running"), delta("1-1", 0, "ab"), [
    "error",
    "1-2",
    { code: "provider_down", message: "No answer.", retryable: true, length: 2 },
  ]);
  expect(failed).toMatchObject({
    phase: "failed",
    held: { text: "ab" },
    problem: { message: "No answer.", retryable: true },
  });
});

test("an answer under way is taken up from history with its text so far", () => {
  const answer = answerFromMessage({
    id: "t",
    parent_id: "p",
    role: "assistant",
    text: "so far 🧵",
    model: "m",
    created_at: "2026-01-01T00:00:00Z",
    turn: {
      id: "t",
      conversation_id: "c",
      person_message_id: "p",
      state: "running",
      model: "m",
      attempt: 1,
      usage: null,
      error: null,
      finish_reason: null,
      trace_id: "abc",
    },
  });
  expect(answer).toMatchObject({ phase: "running", turnId: "t", attempt: 1, held: { text: "so far 🧵", length: 8 } });
});
