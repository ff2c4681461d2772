/** The list of conversations, newest first, as far as it has been read. */
import { type Conversation, deleteConversation, listConversations } from "./api";
import { tellOtherTabs } from "./otherTabs";
import { personWords } from "./wording";

export class ConversationIndex {
  items = $state.raw<readonly Conversation[]>([]);
  state = $state<"reading" | "ready" | "failed">("reading");
  problem = $state<string | null>(null);
  #next = $state<string | null>(null);

  get hasMore(): boolean {
    return this.#next !== null;
  }

  async read(): Promise<void> {
    await this.#readPage(null);
  }

  async readMore(): Promise<void> {
    if (this.#next !== null) await this.#readPage(this.#next);
  }

  /** Puts it on top, or changes it there. */
  put(conversation: Conversation): void {
    this.items = [conversation, ...this.items.filter(({ id }) => id !== conversation.id)];
  }

  rename(id: string, title: string): void {
    this.items = this.items.map((item) => (item.id === id ? { ...item, title } : item));
  }

  /** Raises what the call raises; the list then still holds it. */
  async delete(id: string): Promise<void> {
    await deleteConversation(id);
    this.forget(id);
    tellOtherTabs({ conversationId: id, what: "deleted" });
  }

  forget(id: string): void {
    this.items = this.items.filter((item) => item.id !== id);
  }

  async #readPage(before: string | null): Promise<void> {
    try {
      const page = await listConversations(before);
      const kept = before === null ? [] : this.items;
      const known = new Set(kept.map(({ id }) => id));
      this.items = [...kept, ...page.conversations.filter(({ id }) => !known.has(id))];
      this.#next = page.next;
      this.problem = null;
      this.state = "ready";
    } catch (error) {
      this.problem = personWords(error);
      this.state = "failed";
    }
  }
}
