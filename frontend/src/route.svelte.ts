/** The address: `/` is a conversation not yet begun, `/c/<id>` one that exists. */

const conversationPath = /^\/c\/([0-9A-Za-z-]+)\/?$/;

export class Route {
  conversationId = $state<string | null>(conversationIdOf(window.location.pathname));

  constructor() {
    window.addEventListener("popstate", () => {
      this.conversationId = conversationIdOf(window.location.pathname);
    });
  }

  goTo(conversationId: string | null): void {
    if (conversationId === this.conversationId) return;
    window.history.pushState(null, "", pathOf(conversationId));
    this.conversationId = conversationId;
  }

  /** The conversation on show has come to exist: same place, new address. */
  becomes(conversationId: string): void {
    window.history.replaceState(null, "", pathOf(conversationId));
    this.conversationId = conversationId;
  }
}

export function pathOf(conversationId: string | null): string {
  return conversationId === null ? "/" : `/c/${conversationId}`;
}

function conversationIdOf(path: string): string | null {
  return conversationPath.exec(path)?.[1] ?? null;
}
