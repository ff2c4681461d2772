import { describe, expect, test } from "vitest";

import { EventStreamParser, readEventStream, type ServerSentEvent, StreamBroken } from "../src/eventStream";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

function parsed(...pieces: Uint8Array[]): ServerSentEvent[] {
  const parser = new EventStreamParser();
  return pieces.flatMap((piece) => parser.push(piece));
}

function parsedText(text: string): ServerSentEvent[] {
  return parsed(bytesOf(text));
}

/** A message whose id, if it has one, is the newest. */
const message = (data: string, id: string | null = null, lastEventId = id): ServerSentEvent => ({
  event: "message",
  data,
  id,
  lastEventId,
});
const delta = (data: string): ServerSentEvent => ({ ...message(data), event: "delta" });

const vectors: readonly { name: string; stream: string; events: ServerSentEvent[] }[] = [
  { name: "lines end by LF", stream: "event: delta\ndata: a\n\n", events: [delta("a")] },
  { name: "lines end by CR", stream: "event: delta\rdata: a\r\r", events: [delta("a")] },
  { name: "lines end by CRLF", stream: "event: delta\r\ndata: a\r\n\r\n", events: [delta("a")] },
  { name: "line ends are mixed", stream: "data: a\r\ndata: b\rdata: c\n\r\n", events: [message("a\nb\nc")] },
  { name: "a BOM stands first", stream: "\uFEFFdata: a\n\n", events: [message("a")] },
  { name: "a second BOM is no longer one", stream: "\uFEFF\uFEFFdata: a\n\ndata: b\n\n", events: [message("b")] },
  { name: "a BOM inside is text", stream: "data: a\uFEFFb\n\n", events: [message("a\uFEFFb")] },
  { name: "comments are nothing", stream: ": keep-alive\n\n:\n\ndata: a\n: x\n\n", events: [message("a")] },
  { name: "NUL in data stays", stream: "data: a\0b\n\n", events: [message("a\0b")] },
  {
    name: "NUL in an id discards the id",
    stream: "id: 1-1\ndata: a\n\nid: 1\0-2\ndata: b\n\n",
    events: [message("a", "1-1"), message("b", null, "1-1")],
  },
  {
    name: "an id is an event's own, and the place to resume until the next",
    stream: "id: 1-1\ndata: a\n\ndata: b\n\nid: 1-2\ndata: c\n\n",
    events: [message("a", "1-1"), message("b", null, "1-1"), message("c", "1-2")],
  },
  {
    name: "an empty id resets it",
    stream: "id: 1-1\ndata: a\n\nid\ndata: b\n\n",
    events: [message("a", "1-1"), message("b", "")],
  },
  {
    name: "one space after the colon goes, a second stays",
    stream: "data:a\n\ndata: a\n\ndata:  a\n\n",
    events: [message("a"), message("a"), message(" a")],
  },
  {
    name: "an event without data is none",
    stream: "event: delta\nid: 1-1\n\ndata: a\n\n",
    events: [message("a", null, "1-1")],
  },
  { name: "empty data is data", stream: "data\n\ndata:\n\n", events: [message(""), message("")] },
  { name: "unknown fields and retry are skipped", stream: "retry: 10\nfoo: bar\ndata: a\n\n", events: [message("a")] },
  { name: "a field's name is exact", stream: "Data: a\n data: b\ndata: c\n\n", events: [message("c")] },
  { name: "the last event is unfinished", stream: "data: a\n\ndata: b\n", events: [message("a")] },
  {
    name: "other separators are text",
    stream: "data: a\u2028b\u0085c\vd\n\n",
    events: [message("a\u2028b\u0085c\vd")],
  },
  { name: "characters of each length", stream: "data: aé€🧵\uFFFD\n\n", events: [message("aé€🧵\uFFFD")] },
];

describe.each(vectors)("$name", ({ stream, events }) => {
  test("in one piece", () => {
    expect(parsedText(stream)).toEqual(events);
  });

  test("byte by byte", () => {
    expect(parsed(...[...bytesOf(stream)].map((byte) => Uint8Array.of(byte)))).toEqual(events);
  });

  test("cut in two at every byte", () => {
    const bytes = bytesOf(stream);
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(parsed(bytes.subarray(0, at), bytes.subarray(at))).toEqual(events);
    }
  });

  test("with empty pieces between", () => {
    const empty = new Uint8Array();
    expect(parsed(empty, ...[...bytesOf(stream)].flatMap((byte) => [Uint8Array.of(byte), empty]))).toEqual(events);
  });
});

test("a CR ends an event at once, without waiting for what follows", () => {
  expect(parsedText("data: a\r\r")).toEqual([message("a")]);
});

test("a broken byte becomes the replacement character and harms nothing after it", () => {
  expect(parsed(bytesOf("data: a"), Uint8Array.of(0xff), bytesOf("b\n\n"))).toEqual([message("a\uFFFDb")]);
});

test("a character cut off by the stream's end never appears", () => {
  expect(parsed(bytesOf("data: a\n\ndata: "), bytesOf("🧵").subarray(0, 2))).toEqual([message("a")]);
});

test("a name like an object's own property is only a name", () => {
  expect(parsedText("__proto__: x\nconstructor: y\nevent: toString\ndata: a\n\n")).toEqual([
    { ...message("a"), event: "toString" },
  ]);
});

describe("reading", () => {
  const never = new ReadableStream<Uint8Array>();

  async function collected(body: ReadableStream<Uint8Array>): Promise<ServerSentEvent[][]> {
    const batches: ServerSentEvent[][] = [];
    for await (const batch of readEventStream(body, 50)) batches.push(batch);
    return batches;
  }

  test("hands on together what arrived together", async () => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytesOf("data: a\n\ndata: b\n\nda"));
        controller.enqueue(bytesOf(": comment"));
        controller.enqueue(bytesOf("\n\ndata: c\n\n"));
        controller.close();
      },
    });
    expect(await collected(body)).toEqual([[message("a"), message("b")], [message("c")]]);
  });

  test("takes a silent connection for broken", async () => {
    await expect(collected(never)).rejects.toThrow(StreamBroken);
  });

  test("says broken when the connection breaks", async () => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.error(new TypeError("network error"));
      },
    });
    await expect(collected(body)).rejects.toThrow(StreamBroken);
  });

  test("cancels the stream when the reader leaves", async () => {
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytesOf("data: a\n\n"));
      },
      cancel() {
        isCancelled = true;
      },
    });
    for await (const batch of readEventStream(body, 1_000)) {
      expect(batch).toEqual([message("a")]);
      break;
    }
    expect(isCancelled).toBe(true);
  });
});
