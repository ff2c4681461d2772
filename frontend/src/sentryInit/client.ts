/** The part of Sentry that is loaded only with a DSN: set-up, and the calls that index.ts hands on. */
import {
  addBreadcrumb,
  addEventProcessor,
  addIntegration,
  breadcrumbsIntegration,
  browserApiErrorsIntegration,
  browserSessionIntegration,
  browserTracingIntegration,
  captureException,
  captureMessage,
  createUrlRouteProvider,
  cultureContextIntegration,
  dedupeIntegration,
  eventFiltersIntegration,
  functionToStringIntegration,
  globalHandlersIntegration,
  httpContextIntegration,
  init,
  linkedErrorsIntegration,
  startInactiveSpan,
  startNewTrace,
  withActiveSpan,
  withScope,
} from "@sentry/browser";

import type { Action, Facts, SentrySettings } from "./index";
import { withoutQuery, withoutText } from "./scrub";

export { addBreadcrumb, addIntegration, captureException };

/** The gateway's tunnel: same origin, so that no blocker and no policy stands in the way. */
const tunnel = "/monitoring";

export function startClient(settings: SentrySettings & { readonly dsn: string }): void {
  init({
    dsn: settings.dsn,
    environment: settings.environment,
    release: settings.release,
    tunnel,
    tracesSampleRate: settings.tracesSampleRate,
    replaysSessionSampleRate: settings.replaysSessionSampleRate,
    replaysOnErrorSampleRate: settings.replaysOnErrorSampleRate,
    // The processes send transactions; streamed spans would show as an empty trace in Spotlight.
    traceLifecycle: "static",
    tracePropagationTargets: [new RegExp(`^${escaped(window.location.origin)}/`)],
    // Every field is named: a field left out is collected.
    dataCollection: {
      userInfo: false,
      cookies: false,
      httpHeaders: false,
      httpBodies: [],
      urlQueryParams: false,
      graphQL: { document: false, variables: false },
      genAI: { inputs: false, outputs: false },
      mcp: { inputs: false, outputs: false },
      databaseQueryData: false,
      queues: false,
      stackFrameVariables: false,
      frameContextLines: 0,
    },
    // A list of our own: the default one records the console, and the text on what is clicked.
    defaultIntegrations: false,
    integrations: [
      eventFiltersIntegration(),
      functionToStringIntegration(),
      browserApiErrorsIntegration(),
      globalHandlersIntegration(),
      linkedErrorsIntegration(),
      dedupeIntegration(),
      httpContextIntegration(),
      cultureContextIntegration(),
      browserSessionIntegration(),
      breadcrumbsIntegration({ dom: false, fetch: true, history: true, sentry: true, xhr: false }),
      browserTracingIntegration({
        traceXHR: false,
        beforeStartSpan: (options) => ({ ...options, name: routeOf(options.name) }),
      }),
    ],
    routeProvider: createUrlRouteProvider(({ pathname }) => routeOf(pathname)),
    beforeBreadcrumb: withoutQuery,
  });
  // The browser SDK has no server_name of its own; with it, all parts of a trace are told apart by one field.
  addEventProcessor((event) => ({
    ...withoutText(event),
    ...(event.transaction === undefined ? {} : { transaction: routeOf(event.transaction) }),
    server_name: "browser",
  }));
}

export function captureWithFacts(message: string, facts: Facts): void {
  withScope((scope) => {
    scope.setContext("facts", { ...facts });
    captureMessage(message);
  });
}

export function startRootAction(name: string, op: string): Action {
  const span = startNewTrace(() => startInactiveSpan({ name, op }));
  let hasEnded = false;
  return {
    run<T>(begin: () => T): T {
      // A promise must not be returned through the scope: the SDK would keep the span active until it settles, and
      // whatever else the page does meanwhile would land in this trace.
      let begun: { readonly value: T } | undefined;
      withActiveSpan(span, () => {
        begun = { value: begin() };
      });
      return (begun as { readonly value: T }).value;
    },
    describe: (facts) => {
      span.setAttributes({ ...facts });
    },
    end: (outcome) => {
      if (hasEnded) return;
      hasEnded = true;
      span.setStatus(outcome === "ok" ? { code: 1 } : { code: 2, message: "internal_error" });
      span.end();
    },
  };
}

/** One name for all conversations: an id is no name. */
function routeOf(path: string): string {
  return path.startsWith("/c/") ? "/c/:id" : path;
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
