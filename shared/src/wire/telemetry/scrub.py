"""What never leaves a process with telemetry: query strings, request bodies, cookies, headers that carry a secret.

Frame locals and bodies are switched off at the source (`setup`); this is the second fence, for what integrations add.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentry_sdk.types import Breadcrumb, Event, Hint

KEPT_HEADERS = frozenset({"host", "user-agent", "content-type", "content-length", "accept"})
DROPPED_DATA = ("http.query", "http.fragment", "url.query", "url.fragment")


def scrub_event(event: "Event", _hint: "Hint") -> "Event":
    """`before_send` and `before_send_transaction`: the same event without what could hold a person's text."""
    request = event.get("request")
    if isinstance(request, dict):
        _scrub_request(request)
    for exception in (event.get("exception") or {}).get("values", []):
        _scrub_exception(exception)
    spans: Any = event.get("spans") or []
    for span in spans:
        _scrub_span_data(span.get("data"))
    trace_data = (event.get("contexts") or {}).get("trace", {}).get("data")
    _scrub_span_data(trace_data)
    return event


def scrub_breadcrumb(crumb: "Breadcrumb", _hint: "Hint") -> "Breadcrumb":
    """`before_breadcrumb`: URLs without their query."""
    _scrub_span_data(crumb.get("data"))
    return crumb


def _scrub_request(request: dict[str, Any]) -> None:
    for field in ("data", "cookies", "query_string", "env"):
        request.pop(field, None)
    if isinstance(request.get("url"), str):
        request["url"] = without_query(request["url"])
    headers = request.get("headers")
    if isinstance(headers, dict):
        request["headers"] = {k: v for k, v in headers.items() if k.lower() in KEPT_HEADERS}


def _scrub_exception(exception: dict[str, Any]) -> None:
    """A database driver's message quotes the statement's parameters, which hold text: keep its first line only."""
    value = exception.get("value")
    if isinstance(value, str):
        exception["value"] = value.split("\n", 1)[0].split("[parameters:", 1)[0].strip()[:300]


def _scrub_span_data(data: Any) -> None:
    if not isinstance(data, dict):
        return
    for name in DROPPED_DATA:
        data.pop(name, None)
    for name in ("url", "url.full", "http.url"):
        if isinstance(data.get(name), str):
            data[name] = without_query(data[name])


def without_query(url: str) -> str:
    return url.split("?", 1)[0].split("#", 1)[0]
