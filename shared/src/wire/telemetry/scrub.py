"""What never leaves a process with telemetry: query strings, request bodies, cookies, headers that carry a secret.

Frame locals and bodies are switched off at the source (`setup`); this is the second fence, for what integrations add.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentry_sdk.types import Breadcrumb, Event, Hint

KEPT_HEADERS = frozenset({"host", "user-agent", "content-type", "content-length", "accept"})
DROPPED_DATA = ("http.query", "http.fragment", "url.query", "url.fragment")
OWN_PACKAGES = ("wire", "gateway", "chat", "tracking")

LOG_FRAME = frozenset({"event", "level", "timestamp", "trace_id", "process"})
"""What a log line says beside its fields; in Sentry it stands elsewhere."""


def scrub_event(event: "Event", hint: "Hint") -> "Event":
    """`before_send` and `before_send_transaction`: the same event without what could hold a person's text."""
    _spell_log_line(event, hint)
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


def scrub_breadcrumb(crumb: "Breadcrumb", hint: "Hint") -> "Breadcrumb":
    """`before_breadcrumb`: URLs without their query, log lines by their phrase."""
    line = _log_line(hint)
    if line is not None:
        crumb["message"], crumb["data"] = line
    _scrub_span_data(crumb.get("data"))
    return crumb


def _spell_log_line(event: "Event", hint: "Hint") -> None:
    """The event of a log line is named for its phrase, so that Sentry groups by that and not by the fields."""
    line = _log_line(hint)
    if line is not None:
        event["logentry"] = {"message": line[0]}
        event["extra"] = line[1]
    elif "logentry" in event:
        event["logentry"] = {"message": _first_line(str(event["logentry"].get("message", "")))}


def _log_line(hint: "Hint") -> tuple[str, dict[str, Any]] | None:
    """The phrase and the fields of the structured log line that the hint carries."""
    said: Any = getattr(hint.get("log_record"), "msg", None)
    if not isinstance(said, dict) or "event" not in said:
        return None
    return str(said["event"]), {name: value for name, value in said.items() if name not in LOG_FRAME}


def _scrub_request(request: dict[str, Any]) -> None:
    for field in ("data", "cookies", "query_string", "env"):
        request.pop(field, None)
    if isinstance(request.get("url"), str):
        request["url"] = without_query(request["url"])
    headers = request.get("headers")
    if isinstance(headers, dict):
        request["headers"] = {k: v for k, v in headers.items() if k.lower() in KEPT_HEADERS}


def _scrub_exception(exception: dict[str, Any]) -> None:
    """Words that others wrote may quote a prompt, a row or a key: only those of our own errors are kept."""
    package = str(exception.get("module") or "").partition(".")[0]
    exception["value"] = _first_line(str(exception.get("value") or "")) if package in OWN_PACKAGES else ""


def _first_line(words: str) -> str:
    return words.split("\n", 1)[0].strip()[:300]


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
