/**
 * One answer as the page knows it, and how the turn's events change it. Pure: no network, no clock, no page.
 *
 * | phase    | means                                                    | left by                       |
 * | -------- | -------------------------------------------------------- | ----------------------------- |
 * | sending  | submitted, the gateway hasn't named the turn yet         | `turn`, a refusal (unsent)    |
 * | unsent   | the submit failed or was refused; nothing runs           | the person sends it again     |
 * | queued   | accepted, waiting for a worker                           | `turn` running, `delta`, `end`|
 * | running  | a worker has it                                          | `end`, `error`                |
 * | complete, stopped, failed | over                                    | never                         |
 *
 * `link` is about the connection alone: `lost` says that the page is connecting again while the turn goes on.
 */
import type { Message, Turn, TurnState, Usage } from "./api";
import { answerText, type AnswerText, cutTo, noText, withDelta } from "./answerText";
import type { TurnEvent } from "./turnEvents";

export type AnswerPhase = "sending" | "unsent" | TurnState;

export interface AnswerProblem {
  readonly message: string;
  readonly retryable: boolean;
}

export interface Answer {
  readonly phase: AnswerPhase;
  readonly link: "live" | "lost";
  readonly turnId: string | null;
  readonly personMessageId: string | null;
  readonly model: string;
  readonly traceId: string | null;
  /** Of the newest worker that this answer has heard from; 0 before the first. */
  readonly attempt: number;
  readonly held: AnswerText;
  /** Turns before this one, while it is queued and the server has said so. */
  readonly place: number | null;
  /** Why the text was last begun again, until new text comes. */
  readonly restarted: string | null;
  /** Set when another model took over in the middle of the turn. */
  readonly switchedFrom: string | null;
  readonly usage: Usage | null;
  readonly finishReason: string | null;
  readonly problem: AnswerProblem | null;
  /** How long the whole text is by the server's count, once it is over. */
  readonly wholeLength: number | null;
  /** True when a delta came whose predecessor is missing: the text must be read anew. */
  readonly hasGap: boolean;
}

const blank: Answer = {
  phase: "sending",
  link: "live",
  turnId: null,
  personMessageId: null,
  model: "",
  traceId: null,
  attempt: 0,
  held: noText,
  place: null,
  restarted: null,
  switchedFrom: null,
  usage: null,
  finishReason: null,
  problem: null,
  wholeLength: null,
  hasGap: false,
};

export function newAnswer(model: string): Answer {
  return { ...blank, model };
}

/** The answer that a conversation's history holds; one under way has its text so far. */
export function answerFromMessage(message: Message): Answer {
  const base: Answer = { ...blank, turnId: message.id, model: message.model ?? "", held: answerText(message.text) };
  if (message.turn === null) return { ...base, phase: "complete" };
  return withTurn(base, { ...message.turn, text: message.text });
}

/** The server's own word on the turn, whole. */
export function withTurn(answer: Answer, turn: Turn): Answer {
  return {
    ...answer,
    phase: turn.state,
    turnId: turn.id,
    personMessageId: turn.person_message_id,
    model: turn.model,
    traceId: turn.trace_id,
    attempt: Math.max(turn.attempt, answer.attempt),
    held: answerText(turn.text),
    place: null,
    restarted: null,
    usage: turn.usage,
    finishReason: turn.finish_reason,
    problem: turn.error,
    hasGap: false,
  };
}

export function isUnderWay(answer: Answer): boolean {
  return answer.phase === "sending" || answer.phase === "queued" || answer.phase === "running";
}

/** What an attempt that was superseded says after the next has spoken is dropped, whatever it is. */
export function applyTurnEvent(answer: Answer, event: TurnEvent): Answer {
  if (event.attempt !== null && event.attempt < answer.attempt) return answer;
  const heard = { ...answer, attempt: Math.max(answer.attempt, event.attempt ?? 0) };
  switch (event.kind) {
    case "turn":
      return named(heard, event.data);
    case "queued":
      return { ...heard, phase: "queued", place: event.data.place };
    case "delta":
      return grown(heard, event.data.offset, event.data.text);
    case "chunk":
      return { ...heard, phase: "running", place: null };
    case "restart":
      return begunAgain(heard, event.data);
    case "switch":
      return { ...heard, model: event.data.to_model, switchedFrom: event.data.from_model };
    case "usage":
      return { ...heard, usage: event.data };
    case "title":
      return heard;
    case "end":
      return over(heard, event.data.state, event.data.length, { finishReason: event.data.finish_reason });
    case "error":
      return over(heard, "failed", event.data.length, {
        problem: { message: event.data.message, retryable: event.data.retryable },
      });
  }
}

function named(answer: Answer, data: Extract<TurnEvent, { kind: "turn" }>["data"]): Answer {
  return {
    ...answer,
    phase: data.state === "queued" ? "queued" : "running",
    turnId: data.turn_id,
    personMessageId: data.person_message_id,
    model: data.model,
    traceId: data.trace_id ?? answer.traceId,
    attempt: Math.max(answer.attempt, data.attempt),
    place: data.state === "queued" ? answer.place : null,
  };
}

function grown(answer: Answer, offset: number, text: string): Answer {
  const held = withDelta(answer.held, offset, text);
  if (held === null) return { ...answer, hasGap: true };
  const isNew = held.length > answer.held.length;
  return { ...answer, phase: "running", place: null, held, restarted: isNew ? null : answer.restarted };
}

function begunAgain(answer: Answer, data: { attempt: number; offset: number; reason: string }): Answer {
  if (data.attempt < answer.attempt) return answer;
  return {
    ...answer,
    phase: "running",
    attempt: data.attempt,
    held: cutTo(answer.held, data.offset),
    restarted: data.reason,
  };
}

function over(answer: Answer, phase: AnswerPhase, wholeLength: number, rest: Partial<Answer>): Answer {
  return { ...answer, phase, wholeLength, place: null, restarted: null, link: "live", ...rest };
}
