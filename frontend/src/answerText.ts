/**
 * An answer's text while it grows by deltas, whose places are counted in Unicode code points.
 *
 * JavaScript counts UTF-16 units, so the number of code points is kept beside the text. All functions are pure.
 */

export interface AnswerText {
  readonly text: string;
  /** Code points in `text`. */
  readonly length: number;
}

export const noText: AnswerText = { text: "", length: 0 };

export function answerText(text: string): AnswerText {
  return { text, length: codePointCount(text) };
}

/**
 * The text with a delta that starts after `offset` code points.
 *
 * What is held already is not added twice. Where the delta says something else than what is held, the delta wins and what
 * followed goes: it belongs to a text that was replaced while nobody listened. Null: words are missing before the delta.
 */
export function withDelta(held: AnswerText, offset: number, delta: string): AnswerText | null {
  if (offset > held.length) return null;
  if (offset === held.length) return appended(held, delta);
  const start = unitIndex(held, offset);
  const end = unitIndex(held, Math.min(offset + codePointCount(delta), held.length));
  const overlap = held.text.slice(start, end);
  if (delta.startsWith(overlap)) return appended(held, delta.slice(overlap.length));
  return appended({ text: held.text.slice(0, start), length: offset }, delta);
}

/** The first `length` code points; all of it when there are fewer. */
export function cutTo(held: AnswerText, length: number): AnswerText {
  if (length >= held.length) return held;
  return { text: held.text.slice(0, unitIndex(held, length)), length };
}

export function codePointCount(text: string): number {
  let pairs = 0;
  for (let at = 0; at < text.length - 1; at += 1) {
    if (isPairAt(text, at)) {
      pairs += 1;
      at += 1;
    }
  }
  return text.length - pairs;
}

function appended(held: AnswerText, added: string): AnswerText {
  if (added === "") return held;
  return { text: held.text + added, length: held.length + codePointCount(added) };
}

function unitIndex(held: AnswerText, codePoints: number): number {
  if (held.text.length === held.length) return codePoints;
  let at = 0;
  for (let passed = 0; passed < codePoints; passed += 1) at += isPairAt(held.text, at) ? 2 : 1;
  return at;
}

function isPairAt(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00;
}
