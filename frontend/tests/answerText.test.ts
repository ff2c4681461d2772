import { describe, expect, test } from "vitest";

import { answerText, codePointCount, cutTo, noText, withDelta } from "../src/answerText";

const astral = "a🧵b👩‍🚀c𝔘";

test.each([
  ["", 0],
  ["abc", 3],
  ["🧵", 1],
  [astral, Array.from(astral).length],
  ["\ud83e", 1],
  ["\uddf5\ud83e", 2],
])("%j has %i code points", (text, count) => {
  expect(codePointCount(text)).toBe(count);
});

describe("a delta", () => {
  test("at the end is added", () => {
    expect(withDelta(answerText("ab"), 2, "cd")).toEqual({ text: "abcd", length: 4 });
  });

  test("that is held already changes nothing", () => {
    const held = answerText("abcd");
    expect(withDelta(held, 1, "bc")).toBe(held);
  });

  test("that overlaps adds only the rest", () => {
    expect(withDelta(answerText("abcd"), 2, "cdef")).toEqual({ text: "abcdef", length: 6 });
  });

  test("that begins behind the end leaves a gap", () => {
    expect(withDelta(answerText("ab"), 3, "d")).toBeNull();
  });

  test("that says something else wins, and what followed goes", () => {
    expect(withDelta(answerText("abcdefgh"), 2, "XY")).toEqual({ text: "abXY", length: 4 });
  });

  test("that says something else beyond the end wins too", () => {
    expect(withDelta(answerText("abcd"), 2, "XYZ!")).toEqual({ text: "abXYZ!", length: 6 });
  });

  test("that is empty changes nothing", () => {
    const held = answerText("ab");
    expect([withDelta(held, 2, ""), withDelta(held, 0, ""), withDelta(held, 3, "")]).toEqual([held, held, null]);
  });

  test("counts code points, not units", () => {
    expect(withDelta(answerText("🧵🧵"), 2, "!")).toEqual({ text: "🧵🧵!", length: 3 });
    expect(withDelta(answerText("🧵🧵"), 1, "🧵🚀")).toEqual({ text: "🧵🧵🚀", length: 3 });
  });
});

test("any split of a text, sent twice and overlapping, gives the text", () => {
  const points = Array.from(astral.repeat(3));
  for (let size = 1; size <= points.length; size += 1) {
    let held = noText;
    for (let offset = 0; offset < points.length; offset += size) {
      for (const back of [0, 1, 4]) {
        const from = Math.max(0, offset - back);
        held = withDelta(held, from, points.slice(from, offset + size).join("")) ?? held;
      }
    }
    expect(held).toEqual({ text: points.join(""), length: points.length });
  }
});

test.each([0, 1, 2, 5, 99])("a cut after %i code points never splits a character", (length) => {
  const expected = Array.from(astral).slice(0, length);
  expect(cutTo(answerText(astral), length)).toEqual({ text: expected.join(""), length: expected.length });
});
