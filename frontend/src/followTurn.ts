/**
 * Follows one turn from its submit, or from the middle, to its end, over as many connections as that takes.
 *
 * | what happens                                   | what follows                                                  |
 * | ---------------------------------------------- | ------------------------------------------------------------- |
 * | the submit finds no gateway, or 502–504        | the same submit again, same key, up to `submitTries`; then unsent |
 * | the submit is refused                          | unsent, with the gateway's words                              |
 * | the stream breaks after the turn was named     | attach by `Last-Event-ID`, with growing pauses, until it works |
 * | attaching is refused (404, 401, …)             | failed, with the gateway's words                              |
 * | a delta is missing                             | attach anew, from the beginning of the text                   |
 * | the end names another length than is held      | the text is read from the turn                                |
 *
 * Only the person ends it otherwise: by leaving (`signal`). Stopping the turn is a call of its own; its `end` comes here.
 */
import { ApiError, Unreachable } from "./apiError";
import { type Answer, applyTurnEvent, isUnderWay } from "./answer";
import { answerText } from "./answerText";
import { openTurnEvents, readTurn } from "./api";
import { StreamBroken } from "./eventStream";
import { type MalformedEvent, readTurnEvents, type TurnEvent } from "./turnEvents";

export interface Following {
  /** Sends the message, and must be safe to repeat. Null for an answer that has a turn's id already. */
  readonly submit: ((signal: AbortSignal) => Promise<Response>) | null;
  /** Called after each piece of the stream that changed the answer. */
  readonly onChange: (answer: Answer) => void;
  readonly onTitle: (title: string) => void;
  readonly onMalformed: (error: MalformedEvent) => void;
  readonly signal: AbortSignal;
}

const submitTries = 4;
const firstPauseMs = 300;
const longestPauseMs = 8_000;
/** The server sends a sign of life every 15 s. */
const silenceLimitMs = 40_000;

/** Resolves when the answer is over, unsent, or no longer followed. It never rejects for what the network does. */
export async function followTurn(start: Answer, following: Following): Promise<void> {
  await new TurnFollower(start, following).run();
}

class TurnFollower {
  #answer: Answer;
  #lastEventId: string | null = null;
  /** Connections in a row that brought nothing new. */
  #failures = 0;
  readonly #following: Following;

  constructor(start: Answer, following: Following) {
    this.#answer = start;
    this.#following = following;
  }

  async run(): Promise<void> {
    while (isUnderWay(this.#answer) && !this.#isLeft()) {
      try {
        await this.#readStream(await this.#connect());
      } catch (error) {
        if (this.#isLeft()) return;
        this.#judge(error);
      }
      if (!isUnderWay(this.#answer)) return;
      await this.#pause();
    }
  }

  #connect(): Promise<Response> {
    const { submit, signal } = this.#following;
    const { turnId } = this.#answer;
    if (turnId !== null) return openTurnEvents(turnId, { lastEventId: this.#lastEventId, signal });
    if (submit === null) throw new Error("an answer without a turn needs a submit");
    return submit(signal);
  }

  /** Returns when the stream ends, the answer is over, or words are missing. */
  async #readStream(response: Response): Promise<void> {
    if (response.body === null) return;
    const { onMalformed } = this.#following;
    for await (const events of readTurnEvents(response.body, { silenceLimitMs, onMalformed })) {
      if (this.#isLeft()) return;
      const answer = this.#withEvents(events);
      if (answer.hasGap) {
        // Without a last event id the server begins with the whole text so far.
        this.#lastEventId = null;
        return;
      }
      this.#show(await this.#whole(answer));
      if (!isUnderWay(this.#answer)) return;
    }
  }

  #withEvents(events: readonly TurnEvent[]): Answer {
    let answer: Answer = { ...this.#answer, link: "live" };
    for (const event of events) {
      answer = applyTurnEvent(answer, event);
      if (event.kind === "title") this.#following.onTitle(event.data.title);
      this.#lastEventId = event.lastEventId ?? this.#lastEventId;
    }
    if (answer.held.length > this.#answer.held.length) this.#failures = 0;
    return answer;
  }

  /** An answer that is over has all its text: what the stream didn't bring is read from the turn. */
  async #whole(answer: Answer): Promise<Answer> {
    if (answer.turnId === null || answer.wholeLength === null || answer.wholeLength === answer.held.length)
      return answer;
    const turn = await readTurn(answer.turnId);
    return { ...answer, held: answerText(turn.text) };
  }

  /** Leaves the answer under way where connecting again may help. Raises what no network does. */
  #judge(error: unknown): void {
    const { turnId } = this.#answer;
    if (error instanceof StreamBroken) return;
    if (!(error instanceof ApiError) && !(error instanceof Unreachable)) throw error;
    const mayPass = error instanceof Unreachable || error.passing || (turnId !== null && error.status >= 500);
    if (mayPass && (turnId !== null || this.#failures + 1 < submitTries)) return;
    const phase = turnId === null ? "unsent" : "failed";
    this.#show({ ...this.#answer, phase, link: "live", problem: { message: error.message, retryable: true } });
  }

  async #pause(): Promise<void> {
    this.#show({ ...this.#answer, link: "lost" });
    const pauseMs = Math.min(firstPauseMs * 2 ** this.#failures, longestPauseMs);
    this.#failures += 1;
    await pauseOrOnline(pauseMs * (0.75 + Math.random() / 2), this.#following.signal);
  }

  #isLeft(): boolean {
    return this.#following.signal.aborted;
  }

  #show(answer: Answer): void {
    this.#answer = answer;
    this.#following.onChange(answer);
  }
}

/** Resolves after the time, and at once when the browser comes back online or the signal aborts. */
function pauseOrOnline(pauseMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, pauseMs);
    window.addEventListener("online", done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
