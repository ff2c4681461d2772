/**
 * The page's whole view of Sentry. Without a DSN nothing of the SDK is loaded and every function here does nothing.
 *
 * One answer is one trace: `startAction` opens a transaction with a trace id of its own, and the fetch started inside
 * `Action.run` carries its `sentry-trace` and `baggage`. The transaction ends when the gateway has answered, long before
 * the answer's stream does: so it has left the page whatever happens to the page afterwards, and a reload in the middle
 * can't lose the trace's root.
 *
 * Never hand message text, titles or anything typed to this module.
 */
import type { ReplaySettings } from "./replay";

export interface SentrySettings extends ReplaySettings {
  /** Null: Sentry stays off. */
  readonly dsn: string | null;
  readonly environment: string;
  readonly release: string;
  readonly tracesSampleRate: number;
}

/** A small fact beside an event: ids, names of models, counts. */
export type Facts = Readonly<Record<string, string | number | boolean>>;

export interface Action {
  /** Calls `begin` with the action as its parent; what `begin` awaits later is outside of it again. */
  run<T>(begin: () => T): T;
  describe(facts: Facts): void;
  /** Ends the transaction, once; later calls do nothing. */
  end(outcome: "ok" | "failed"): void;
}

type Client = typeof import("./client");

let client: Client | null = null;

/** Resolves when Sentry is on, or off for good. Replay follows later, when the page has nothing else to do. */
export async function initSentry(settings: SentrySettings): Promise<void> {
  const { dsn } = settings;
  if (dsn === null || client !== null) return;
  const loaded = await import("./client");
  loaded.startClient({ ...settings, dsn });
  client = loaded;
  if (settings.replaysSessionSampleRate > 0 || settings.replaysOnErrorSampleRate > 0)
    whenIdle(() => void startReplay(settings));
}

/** Kept in the replay's timeline too: never use a category that begins with `ui.`, replay drops those. */
export function addBreadcrumb(category: string, message: string, facts: Facts = {}): void {
  client?.addBreadcrumb({ category, message, data: { ...facts } });
}

export function captureMessage(message: string, facts: Facts = {}): void {
  client?.captureWithFacts(message, facts);
}

/** For errors that nobody expects. */
export function captureException(error: unknown): void {
  client?.captureException(error);
}

/** A new trace whose root is this action of the person. */
export function startAction(name: string, op: string): Action {
  return client?.startRootAction(name, op) ?? untraced;
}

const untraced: Action = {
  run: (begin) => begin(),
  describe: () => undefined,
  end: () => undefined,
};

async function startReplay(settings: SentrySettings): Promise<void> {
  const replay = await import("./replay");
  client?.addIntegration(replay.maskedReplay(settings));
}

function whenIdle(work: () => void): void {
  // Safari has no requestIdleCallback.
  if ("requestIdleCallback" in window) window.requestIdleCallback(work, { timeout: 5_000 });
  else setTimeout(work, 1_000);
}
