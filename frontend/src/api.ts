/**
 * The gateway's API as the page calls it: one function a call, wire shapes in and out.
 *
 * Every function throws `Unreachable` or `ApiError` (see apiError.ts), and an `AbortError` when its signal aborts.
 * The shapes keep the wire's names; fields the page doesn't read are left out.
 */
import { ApiError, errorFromResponse, Unreachable } from "./apiError";

export interface SentryConfig {
  readonly dsn: string | null;
  readonly release: string;
  readonly environment: string;
  readonly traces_sample_rate: number;
  readonly replays_session_sample_rate: number;
  readonly replays_on_error_sample_rate: number;
  readonly tunnel: string;
}

export interface Config {
  readonly version: string;
  readonly environment: string;
  readonly sentry: SentryConfig | null;
  /** Holds `{trace_id}`. */
  readonly trace_url_template: string | null;
}

export interface Model {
  readonly id: string;
  readonly provider: string;
  readonly context_window: number | null;
  readonly description: string | null;
}

export interface ModelList {
  readonly default: string | null;
  readonly models: readonly Model[];
}

export interface Conversation {
  readonly id: string;
  readonly title: string;
  readonly model: string;
  readonly created_at: string;
  readonly updated_at: string;
}

export interface ConversationPage {
  readonly conversations: readonly Conversation[];
  readonly next: string | null;
}

export type TurnState = "queued" | "running" | "complete" | "failed" | "stopped";

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  /** USD; a decimal string or a number. Null when the model has no price. */
  readonly cost_usd: string | number | null;
  readonly source: string;
}

export interface TurnSummary {
  readonly id: string;
  readonly conversation_id: string;
  readonly person_message_id: string;
  readonly state: TurnState;
  readonly model: string;
  readonly attempt: number;
  readonly usage: Usage | null;
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean } | null;
  readonly finish_reason: string | null;
  readonly trace_id: string | null;
}

export interface Turn extends TurnSummary {
  readonly text: string;
}

export interface Message {
  readonly id: string;
  readonly parent_id: string | null;
  readonly role: "user" | "assistant";
  readonly text: string;
  readonly model: string | null;
  readonly created_at: string;
  readonly turn: TurnSummary | null;
}

export interface ConversationWithMessages extends Conversation {
  readonly messages: readonly Message[];
}

export interface NewTurn {
  readonly text: string;
  readonly model: string;
  readonly parent_id?: string;
}

const callTimeoutMs = 20_000;

export function readConfig(): Promise<Config> {
  return callJson("GET", "/api/config");
}

export function readModels(): Promise<ModelList> {
  return callJson("GET", "/api/models");
}

export function listConversations(before: string | null): Promise<ConversationPage> {
  const page = new URLSearchParams({ limit: "50" });
  if (before !== null) page.set("before", before);
  return callJson("GET", `/api/conversations?${page.toString()}`);
}

export function createConversation(model: string): Promise<Conversation> {
  return callJson("POST", "/api/conversations", { model });
}

export function readConversation(id: string): Promise<ConversationWithMessages> {
  return callJson("GET", `/api/conversations/${encodeURIComponent(id)}`);
}

export async function deleteConversation(id: string): Promise<void> {
  await call("DELETE", `/api/conversations/${encodeURIComponent(id)}`);
}

/** Not awaited by a timer: the returned response is the open stream of the turn's events. */
export function submitTurn(
  conversationId: string,
  turn: NewTurn,
  stream: { readonly idempotencyKey: string; readonly signal: AbortSignal },
): Promise<Response> {
  return openStream(`/api/conversations/${encodeURIComponent(conversationId)}/turns`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": stream.idempotencyKey },
    body: JSON.stringify(turn),
    signal: stream.signal,
  });
}

/** Without `lastEventId` the stream begins with the whole text so far. */
export function openTurnEvents(
  turnId: string,
  stream: { readonly lastEventId: string | null; readonly signal: AbortSignal },
): Promise<Response> {
  return openStream(`/api/turns/${encodeURIComponent(turnId)}/events`, {
    headers: stream.lastEventId === null ? {} : { "Last-Event-ID": stream.lastEventId },
    signal: stream.signal,
  });
}

export function readTurn(turnId: string): Promise<Turn> {
  return callJson("GET", `/api/turns/${encodeURIComponent(turnId)}`);
}

export function stopTurn(turnId: string): Promise<Turn> {
  return callJson("POST", `/api/turns/${encodeURIComponent(turnId)}/stop`);
}

export async function switchModel(conversationId: string, model: string): Promise<void> {
  await call("POST", `/api/conversations/${encodeURIComponent(conversationId)}/model`, { model });
}

async function openStream(
  path: string,
  init: Omit<RequestInit, "headers"> & { readonly headers: Readonly<Record<string, string>> },
): Promise<Response> {
  const response = await request(path, { ...init, headers: { Accept: "text/event-stream", ...init.headers } });
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    throw new ApiError({ status: 502, message: "Hopline's answer was not a stream.", fields: [], traceId: null });
  }
  return response;
}

async function callJson<T>(method: string, path: string, body?: object): Promise<T> {
  const response = await call(method, path, body);
  try {
    return (await response.json()) as T;
  } catch {
    // A parser's own message quotes what it could not read; that must not travel on.
    throw new ApiError({ status: 502, message: "Hopline's answer could not be read.", fields: [], traceId: null });
  }
}

function call(method: string, path: string, body?: object): Promise<Response> {
  return request(path, {
    method,
    headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
    signal: AbortSignal.timeout(callTimeoutMs),
  });
}

async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (!response.ok) throw await errorFromResponse(response);
  return response;
}
