/** What the page says about an answer's state, in one place. */
import { type Answer, isUnderWay } from "./answer";
import { ApiError, Unreachable } from "./apiError";

export interface Status {
  readonly text: string;
  /** `busy` waits and counts seconds, `note` is only said, `trouble` asks for something. */
  readonly tone: "busy" | "note" | "trouble";
}

/** Null: the answer speaks for itself. */
export function statusOf(answer: Answer, wish: "none" | "stop"): Status | null {
  if (answer.link === "lost") return busy(lostWords(answer));
  if (isUnderWay(answer) && wish === "stop") return busy("Stopping");
  switch (answer.phase) {
    case "sending":
      return busy("Sending");
    case "unsent":
      return trouble(`Not sent. ${answer.problem?.message ?? ""}`);
    case "queued":
      return busy(queuedWords(answer.place));
    case "running":
      return runningStatus(answer);
    case "stopped":
      return note("Stopped");
    case "failed":
      return trouble(answer.problem?.message ?? "The answer failed.");
    case "complete":
      return completeStatus(answer);
  }
}

/** Words for any error, without internals. */
export function personWords(error: unknown): string {
  return error instanceof ApiError || error instanceof Unreachable
    ? error.message
    : "Something went wrong in this page.";
}

export function titleOf(conversation: { readonly title: string }): string {
  return conversation.title.trim() === "" ? "New conversation" : conversation.title;
}

function lostWords(answer: Answer): string {
  if (answer.phase === "sending") return "Hopline can't be reached. Trying again";
  return "Connection lost. Reconnecting; the answer goes on meanwhile";
}

function queuedWords(place: number | null): string {
  if (place === null) return "Queued";
  if (place === 0) return "Queued, next in line";
  return place === 1 ? "Queued, one turn before this one" : `Queued, ${place} turns before this one`;
}

function runningStatus(answer: Answer): Status | null {
  if (answer.restarted === "worker_lost") return busy("A worker was lost. Another one has taken over");
  if (answer.restarted !== null) return busy("The provider broke off. Asking again");
  return answer.held.length === 0 ? busy("Waiting for the first word") : busy("Answering");
}

function completeStatus(answer: Answer): Status | null {
  if (answer.finishReason === "length") return note("Cut off at the model's limit");
  if (answer.finishReason === "content_filter") return note("Cut off by the provider's filter");
  return answer.held.length === 0 ? note("The model answered with nothing") : null;
}

const busy = (text: string): Status => ({ text, tone: "busy" });
const note = (text: string): Status => ({ text, tone: "note" });
const trouble = (text: string): Status => ({ text: text.trim(), tone: "trouble" });

/** Small sums keep two significant digits: an answer often costs less than a cent. */
export function costWords(costUsd: string | number): string {
  const cost = Number(costUsd);
  const digits =
    cost === 0 || cost >= 0.01
      ? { minimumFractionDigits: 2, maximumFractionDigits: 2 }
      : { maximumSignificantDigits: 2 };
  return new Intl.NumberFormat("en", { style: "currency", currency: "USD", ...digits }).format(cost);
}

export function tokenWords(tokens: number): string {
  return `${new Intl.NumberFormat("en").format(tokens)} ${tokens === 1 ? "token" : "tokens"}`;
}
