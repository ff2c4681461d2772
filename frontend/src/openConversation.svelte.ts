/**
 * The conversation on show: its messages, and what the person does in it.
 *
 * A new conversation has no id until its first message is sent. Answers under way are followed until the conversation is
 * left; a message that is still being sent is seen through to its acceptance even then.
 */
import { type Answer, answerFromMessage, newAnswer } from "./answer";
import {
  type Conversation,
  type ConversationWithMessages,
  createConversation,
  readConversation,
  stopTurn,
  submitTurn,
  switchModel,
} from "./api";
import { followTurn } from "./followTurn";
import { newIdempotencyKey } from "./idempotencyKey";
import { newestBranch } from "./messageTree";
import { tellOtherTabs } from "./otherTabs";
import { type Action, addBreadcrumb, captureException, captureMessage, startAction } from "./sentryInit";
import { AnswerMessage, isAnswerUnderWay, PersonMessage, type ShownMessage } from "./shownMessage.svelte";
import { personWords } from "./wording";

export interface ConversationHooks {
  /** Awaited before a message leaves, so that its trace starts here. */
  readonly telemetrySettled: () => Promise<void>;
  readonly onCreated: (conversation: Conversation) => void;
  readonly onTitle: (id: string, title: string) => void;
  /** A turn was accepted, or is over: the list's order has changed, and perhaps the title. */
  readonly onTurn: () => void;
}

export class OpenConversation {
  id = $state<string | null>(null);
  title = $state("");
  model = $state("");
  messages = $state.raw<readonly ShownMessage[]>([]);
  state = $state<"reading" | "ready" | "failed">("ready");
  /** Why the conversation can't be shown. */
  problem = $state<string | null>(null);
  /** Why the last thing the person did had no effect. */
  notice = $state<string | null>(null);
  readonly #hooks: ConversationHooks;
  readonly #left = new AbortController();
  readonly #followed = new Set<AnswerMessage>();
  #switching: Promise<void> = Promise.resolve();

  constructor(id: string | null, hooks: ConversationHooks) {
    this.id = id;
    this.#hooks = hooks;
  }

  get underWay(): AnswerMessage | null {
    return this.messages.findLast(isAnswerUnderWay) ?? null;
  }

  /** Shows what the server holds. What is being followed or sent here is left as it is. */
  async read(): Promise<void> {
    if (this.id === null || this.underWay?.id === null) return;
    if (this.messages.length === 0) this.state = "reading";
    try {
      this.#show(await readConversation(this.id));
    } catch (error) {
      if (this.messages.length > 0) return;
      this.problem = personWords(error);
      this.state = "failed";
    }
  }

  async send(text: string): Promise<void> {
    if (this.underWay !== null) return;
    const parentId = this.messages.findLast(({ id }) => id !== null)?.id ?? null;
    await this.#sendAfter(parentId, text, this.messages);
  }

  /** The same message once more: an unsent one with its own key, a failed one as a turn of its own. */
  async sendAgain(failed: AnswerMessage): Promise<void> {
    const at = this.messages.indexOf(failed);
    const person = this.messages[at - 1];
    if (this.underWay !== null || person?.role !== "user") return;
    addBreadcrumb("chat.action", "send again");
    if (failed.id === null) {
      failed.answer = newAnswer(this.model);
      await this.#submit(person, failed);
    } else if (person.parentId === null) {
      await this.send(person.text);
    } else {
      await this.#sendAfter(person.parentId, person.text, this.messages.slice(0, at - 1));
    }
  }

  async stop(): Promise<void> {
    const message = this.underWay;
    if (message === null) return;
    addBreadcrumb("chat.action", "stop");
    message.wish = "stop";
    await this.#askToStop(message);
  }

  async switchModel(model: string): Promise<void> {
    const before = this.model;
    this.model = model;
    if (this.id === null || model === before) return;
    this.#switching = this.#switch(this.id, before, model);
    await this.#switching;
  }

  leave(): void {
    this.#left.abort();
  }

  async #sendAfter(parentId: string | null, text: string, before: readonly ShownMessage[]): Promise<void> {
    const answer = new AnswerMessage(newIdempotencyKey(), newAnswer(this.model));
    const person = new PersonMessage(`${answer.key}-asked`, text, parentId, null);
    this.messages = [...before, person, answer];
    await this.#submit(person, answer);
  }

  async #submit(person: PersonMessage, message: AnswerMessage): Promise<void> {
    this.notice = null;
    message.wish = "none";
    await Promise.all([this.#hooks.telemetrySettled(), this.#switching]);
    message.answer = { ...message.answer, model: this.model };
    const conversationId = await this.#existingId(message);
    if (conversationId === null) return;
    const turn = {
      text: person.text,
      model: this.model,
      ...(person.parentId === null ? {} : { parent_id: person.parentId }),
    };
    const { idempotencyKey } = message;
    const action = startAction("Send message", "ui.action.send");
    addBreadcrumb("chat.action", "send", { model: this.model, characters: person.text.length });
    await this.#follow(message, {
      submit: (signal) => action.run(() => submitTurn(conversationId, turn, { idempotencyKey, signal })),
      onChange: (answer) => {
        if (answer.turnId !== null && person.id === null) this.#accepted(person, answer, action);
      },
    });
    action.end("failed");
  }

  /** The gateway has named the turn: from here on it is the server's, and the page may go. */
  #accepted(person: PersonMessage, answer: Answer, action: Action): void {
    person.id = answer.personMessageId;
    action.describe({ "hopline.turn_id": answer.turnId ?? "", "gen_ai.request.model": answer.model });
    action.end("ok");
    if (this.id !== null) tellOtherTabs({ conversationId: this.id, what: "turn" });
    this.#hooks.onTurn();
  }

  async #existingId(message: AnswerMessage): Promise<string | null> {
    if (this.id !== null) return this.id;
    try {
      const conversation = await createConversation(this.model);
      this.id = conversation.id;
      this.title = conversation.title;
      this.#hooks.onCreated(conversation);
      return conversation.id;
    } catch (error) {
      message.answer = unsent(message.answer, error);
      return null;
    }
  }

  async #follow(
    message: AnswerMessage,
    sending: {
      readonly submit: ((signal: AbortSignal) => Promise<Response>) | null;
      readonly onChange: (answer: Answer) => void;
    },
  ): Promise<void> {
    const connection = new AbortController();
    const leave = (): void => {
      // A message still on its way is let through first.
      if (message.id !== null) connection.abort();
    };
    this.#left.signal.addEventListener("abort", leave);
    this.#followed.add(message);
    try {
      await followTurn(message.answer, {
        submit: sending.submit,
        onChange: (answer) => {
          const wasUnnamed = message.id === null;
          message.answer = answer;
          sending.onChange(answer);
          if (wasUnnamed && answer.turnId !== null) this.#named(message, leave);
        },
        onTitle: (title) => {
          this.#retitle(title);
        },
        onMalformed: (error) => {
          captureMessage("Malformed turn event", { what: error.message });
        },
        signal: connection.signal,
      });
    } catch (error) {
      captureException(error);
      message.answer = unsent(message.answer, error);
    } finally {
      this.#followed.delete(message);
      this.#left.signal.removeEventListener("abort", leave);
    }
    if (!connection.signal.aborted) this.#hooks.onTurn();
  }

  #named(message: AnswerMessage, leave: () => void): void {
    if (this.#left.signal.aborted) leave();
    else if (message.wish === "stop") void this.#askToStop(message);
  }

  /** Does nothing yet for a turn without a name; `#named` asks then. */
  async #askToStop(message: AnswerMessage): Promise<void> {
    if (message.id === null) return;
    try {
      await stopTurn(message.id);
    } catch (error) {
      message.wish = "none";
      this.notice = `Not stopped. ${personWords(error)}`;
    }
  }

  async #switch(id: string, before: string, model: string): Promise<void> {
    await this.#hooks.telemetrySettled();
    const action = startAction("Switch model", "ui.action.switch");
    addBreadcrumb("chat.action", "switch model", { from: before, to: model });
    action.describe({ "hopline.from_model": before, "hopline.to_model": model });
    try {
      await action.run(() => switchModel(id, model));
      action.end("ok");
      tellOtherTabs({ conversationId: id, what: "model" });
    } catch (error) {
      action.end("failed");
      if (this.model === model) this.model = before;
      this.notice = `The model was not switched. ${personWords(error)}`;
    }
  }

  #retitle(title: string): void {
    this.title = title;
    if (this.id === null) return;
    this.#hooks.onTitle(this.id, title);
    tellOtherTabs({ conversationId: this.id, what: "title" });
  }

  #show(conversation: ConversationWithMessages): void {
    this.title = conversation.title;
    this.model = conversation.model;
    this.state = "ready";
    this.problem = null;
    const known = new Map(this.messages.map((message) => [message.id, message]));
    const unsentHere = this.messages.slice(this.messages.findLastIndex(({ id }) => id !== null) + 1);
    const held = newestBranch(conversation.messages).map((message): ShownMessage => {
      const shown = known.get(message.id);
      if (message.role === "user")
        return shown ?? new PersonMessage(message.id, message.text, message.parent_id, message.id);
      if (shown?.role !== "assistant") return new AnswerMessage(message.id, answerFromMessage(message));
      if (!this.#followed.has(shown)) shown.answer = answerFromMessage(message);
      return shown;
    });
    this.messages = [...held, ...unsentHere];
    for (const message of held) {
      if (isAnswerUnderWay(message) && !this.#followed.has(message)) {
        void this.#follow(message, { submit: null, onChange: () => undefined });
      }
    }
  }
}

function unsent(answer: Answer, error: unknown): Answer {
  const phase = answer.turnId === null ? "unsent" : "failed";
  return { ...answer, phase, link: "live", problem: { message: personWords(error), retryable: true } };
}
