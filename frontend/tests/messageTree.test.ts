import { expect, test } from "vitest";

import type { Message } from "../src/api";
import { newestBranch } from "../src/messageTree";

function message(id: string, parent_id: string | null, minute: number): Message {
  const created_at = `2026-01-01T00:${String(minute).padStart(2, "0")}:00Z`;
  return { id, parent_id, role: "user", text: "", model: null, created_at, turn: null };
}

const idsOf = (messages: readonly Message[]): string[] => newestBranch(messages).map(({ id }) => id);

test("a line of messages is its own branch", () => {
  expect(idsOf([message("a", null, 0), message("b", "a", 1), message("c", "b", 2)])).toEqual(["a", "b", "c"]);
});

test("of two branches the one with the newest message is shown", () => {
  const messages = [message("a", null, 0), message("old", "a", 1), message("new", "a", 2), message("older", "old", 1)];
  expect(idsOf(messages)).toEqual(["a", "new"]);
});

test("of two messages of one moment the later in the list is the newest", () => {
  expect(idsOf([message("a", null, 0), message("b", "a", 0)])).toEqual(["a", "b"]);
});

test("a missing parent begins the branch, a circle ends it", () => {
  expect(idsOf([message("b", "gone", 1)])).toEqual(["b"]);
  expect(idsOf([message("a", "b", 0), message("b", "a", 1)])).toEqual(["a", "b"]);
});

test("no messages are no branch", () => {
  expect(idsOf([])).toEqual([]);
});
