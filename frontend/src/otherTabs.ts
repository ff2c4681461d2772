/** Word between the tabs of one browser that a conversation has changed, so that none shows an old state. */

export interface Change {
  readonly conversationId: string;
  readonly what: "turn" | "title" | "model" | "deleted";
}

const channel = new BroadcastChannel("hopline");

/** Reaches every other tab, never this one. */
export function tellOtherTabs(change: Change): void {
  channel.postMessage(change);
}

export function onChangeElsewhere(listener: (change: Change) => void): void {
  channel.addEventListener("message", (event: MessageEvent<Change>) => {
    listener(event.data);
  });
}
