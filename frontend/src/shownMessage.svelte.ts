/** The messages on show. `key` stays the same while a message gets its id, so that its element stays too. */
import { type Answer, isUnderWay } from "./answer";
import { newIdempotencyKey } from "./idempotencyKey";

export class PersonMessage {
  readonly role = "user";
  /** Null until the gateway has taken it. */
  id = $state<string | null>(null);

  constructor(
    readonly key: string,
    readonly text: string,
    readonly parentId: string | null,
    id: string | null,
  ) {
    this.id = id;
  }
}

export class AnswerMessage {
  readonly role = "assistant";
  answer = $state.raw() as Answer;
  wish = $state<"none" | "stop">("none");
  /** Made once for its message, so that sending it again can't ask twice. */
  readonly idempotencyKey = newIdempotencyKey();

  constructor(
    readonly key: string,
    answer: Answer,
  ) {
    this.answer = answer;
  }

  get id(): string | null {
    return this.answer.turnId;
  }
}

export type ShownMessage = PersonMessage | AnswerMessage;

export function isAnswerUnderWay(message: ShownMessage): message is AnswerMessage {
  return message.role === "assistant" && isUnderWay(message.answer);
}
