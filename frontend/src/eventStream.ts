/**
 * Server-sent events from bytes, split anywhere: inside a character, between CR and LF, inside a field's name.
 *
 * Not `EventSource`: that can't send headers and reconnects by rules of its own. Knows nothing of turns.
 * See: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
  /** This event's own; null when it has none. */
  readonly id: string | null;
  /** Where to resume: the newest id of the stream up to this event, null when it has named none. */
  readonly lastEventId: string | null;
}

export class EventStreamParser {
  // Not fatal: a broken byte becomes U+FFFD as the standard says. It drops one leading BOM by itself.
  readonly #decoder = new TextDecoder();
  #unfinishedLine = "";
  #skipsLineFeed = false;
  #event = "";
  #data: string[] = [];
  #id: string | null = null;
  #lastEventId: string | null = null;

  /** The events that `bytes` completed. One that the stream leaves unfinished never appears. */
  push(bytes: Uint8Array): ServerSentEvent[] {
    const text = this.#decoder.decode(bytes, { stream: true });
    const events: ServerSentEvent[] = [];
    for (const line of this.#completedLines(text)) {
      if (line !== "") this.#takeField(line);
      else events.push(...this.#dispatch());
    }
    return events;
  }

  /** A CR ends its line at once; an LF that follows it, perhaps in the next chunk, belongs to it. */
  *#completedLines(text: string): Generator<string> {
    let start = 0;
    for (let at = 0; at < text.length; at += 1) {
      const unit = text.charCodeAt(at);
      if (unit === LF && this.#skipsLineFeed) {
        this.#skipsLineFeed = false;
        start = at + 1;
      } else if (unit === LF || unit === CR) {
        this.#skipsLineFeed = unit === CR;
        const line = this.#unfinishedLine + text.slice(start, at);
        this.#unfinishedLine = "";
        start = at + 1;
        yield line;
      } else {
        this.#skipsLineFeed = false;
      }
    }
    this.#unfinishedLine += text.slice(start);
  }

  #takeField(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon === -1 ? line : line.slice(0, colon);
    const rest = colon === -1 ? "" : line.slice(colon + 1);
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch(): ServerSentEvent[] {
    const data = this.#data;
    const event = this.#event === "" ? "message" : this.#event;
    const id = this.#id;
    this.#data = [];
    this.#event = "";
    this.#id = null;
    this.#lastEventId = id ?? this.#lastEventId;
    return data.length === 0 ? [] : [{ event, data: data.join("\n"), id, lastEventId: this.#lastEventId }];
  }
}

const LF = 10;
const CR = 13;

/** The connection broke, or was silent for so long that it must be taken for dead. Connecting again helps. */
export class StreamBroken extends Error {
  override readonly name = "StreamBroken";
}

/**
 * Yields, for each piece that arrives, the events it completed (never an empty list). Ends when the stream ends.
 * Leaving the loop cancels the stream.
 *
 * Raises: StreamBroken, also after `silenceLimitMs` without a byte (a comment counts as a sign of life).
 */
export async function* readEventStream(
  body: ReadableStream<Uint8Array>,
  silenceLimitMs: number,
): AsyncGenerator<ServerSentEvent[]> {
  const parser = new EventStreamParser();
  const reader = body.getReader();
  try {
    while (true) {
      const { done, value } = await pieceWithin(silenceLimitMs, reader);
      if (done) return;
      const events = parser.push(value);
      if (events.length > 0) yield events;
    }
  } finally {
    reader.cancel().catch(() => {
      // Already broken: there is nothing left to cancel.
    });
  }
}

async function pieceWithin(
  limitMs: number,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<ReadableStreamReadResult<Uint8Array>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new StreamBroken("silent"));
    }, limitMs);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (error) {
    throw error instanceof StreamBroken ? error : new StreamBroken("broken");
  } finally {
    clearTimeout(timer);
  }
}
