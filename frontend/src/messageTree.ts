/** Messages form a tree; the page shows one branch of it. */
import type { Message } from "./api";

/** From the first message to the newest one, along the parents. */
export function newestBranch(messages: readonly Message[]): Message[] {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const branch: Message[] = [];
  let next = messages.reduce<Message | undefined>(
    (newest, message) => (newest === undefined || message.created_at >= newest.created_at ? message : newest),
    undefined,
  );
  while (next !== undefined) {
    branch.unshift(next);
    // Taken out, so that a tree which isn't one still ends.
    byId.delete(next.id);
    next = next.parent_id === null ? undefined : byId.get(next.parent_id);
  }
  return branch;
}
