/**
 * What is taken out of events and breadcrumbs before they leave the page.
 *
 * Messages of errors that the browser makes may quote what was being read; such a message is replaced by the error's type.
 * Our own errors hold no text by design (apiError.ts, turnEvents.ts).
 */
import type { Breadcrumb, Event } from "@sentry/browser";

/** `fetch` and history crumbs without what follows `?` or `#` in their addresses. */
export function withoutQuery(breadcrumb: Breadcrumb): Breadcrumb {
  if (breadcrumb.category === "console") return { ...breadcrumb, message: "", data: {} };
  const data = Object.fromEntries(
    Object.entries(breadcrumb.data ?? {}).map(([name, value]) => [
      name,
      isAddress(name) ? barePath(value) : (value as unknown),
    ]),
  );
  return { ...breadcrumb, data };
}

/** For errors and transactions alike. */
export function withoutText(event: Event): Event {
  const values = event.exception?.values?.map((exception) =>
    exception.type === "SyntaxError" ? { ...exception, value: "SyntaxError" } : exception,
  );
  const { url, headers, ...request } = event.request ?? {};
  return {
    ...event,
    ...(values ? { exception: { values } } : {}),
    request: {
      ...request,
      ...(url === undefined ? {} : { url: barePath(url) as string }),
      headers: headers?.["User-Agent"] === undefined ? {} : { "User-Agent": headers["User-Agent"] },
    },
  };
}

function isAddress(name: string): boolean {
  return name === "url" || name === "from" || name === "to";
}

function barePath(value: unknown): unknown {
  return typeof value === "string" ? value.replace(/[?#].*$/s, "") : value;
}
