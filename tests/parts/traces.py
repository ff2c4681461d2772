"""What reached the ingest, as traces: spans with their parents, and the errors that happened in them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from parts.envelopes import Item

PAGE = "browser"
"""The `server_name` that our page gives what it sends; its SDK has none of its own."""


@dataclass(frozen=True, slots=True)
class SpanRecord:
    trace_id: str
    span_id: str
    parent_id: str | None
    process: str
    """The Sentry `server_name`."""
    op: str
    name: str
    status: str | None
    is_transaction: bool
    data: dict[str, Any] = field(hash=False, compare=False)

    def __str__(self) -> str:
        return f"{self.process} {self.op} “{self.name}”"


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    trace_id: str
    span_id: str | None
    process: str
    type: str
    value: str
    payload: dict[str, Any] = field(hash=False, compare=False)


@dataclass(frozen=True, slots=True)
class Trace:
    trace_id: str
    spans: dict[str, SpanRecord]
    errors: list[ErrorRecord]

    def find(self, process: str, op: str, name: str | None = None) -> list[SpanRecord]:
        """The spans of a process with this op, and with this text in their name."""
        return [
            span
            for span in self.spans.values()
            if span.process == process and span.op == op and (name is None or name in span.name)
        ]

    def parent_of(self, span: SpanRecord) -> SpanRecord | None:
        return None if span.parent_id is None else self.spans.get(span.parent_id)

    def ancestors_of(self, span: SpanRecord) -> Iterator[SpanRecord]:
        """From its parent upwards."""
        above = self.parent_of(span)
        while above is not None:
            yield above
            above = self.parent_of(above)

    @property
    def processes(self) -> set[str]:
        return {span.process for span in self.spans.values()} | {error.process for error in self.errors}

    def drawn(self) -> str:
        """The tree, a span a line: what a failed test shows."""
        lines = [f"trace {self.trace_id}"]
        tops = [span for span in self.spans.values() if self.parent_of(span) is None]
        for top in tops:
            self._draw(top, 1, lines)
        lines += [f"  ERROR in {error.process}: {error.type}: {error.value}" for error in self.errors]
        return "\n".join(lines)

    def _draw(self, span: SpanRecord, depth: int, lines: list[str]) -> None:
        foreign = f" (below {span.parent_id}, not seen)" if depth == 1 and span.parent_id else ""
        lines.append("  " * depth + f"{span}{foreign}")
        for below in self.spans.values():
            if below.parent_id == span.span_id:
                self._draw(below, depth + 1, lines)


def read_trace(trace_id: str, items: Iterable[Item]) -> Trace:
    """All that the items say of this trace. A span that was sent twice is there once."""
    spans: dict[str, SpanRecord] = {}
    errors: list[ErrorRecord] = []
    for item in items:
        if item.type == "transaction":
            spans.update((s.span_id, s) for s in _spans_of(item.json) if s.trace_id == trace_id)
        elif item.type == "span":
            spans.update((s.span_id, s) for s in _standalone_spans(item.json) if s.trace_id == trace_id)
        elif item.type == "event":
            error = _error_of(item.json)
            if error.trace_id == trace_id:
                errors.append(error)
    return Trace(trace_id, spans, errors)


def _spans_of(transaction: dict[str, Any]) -> Iterator[SpanRecord]:
    process = str(transaction.get("server_name"))
    root: dict[str, Any] = transaction.get("contexts", {}).get("trace", {})
    yield SpanRecord(
        trace_id=str(root.get("trace_id")),
        span_id=str(root.get("span_id")),
        parent_id=root.get("parent_span_id"),
        process=process,
        op=str(root.get("op", "")),
        name=str(transaction.get("transaction", "")),
        status=root.get("status"),
        is_transaction=True,
        data=root.get("data") or {},
    )
    for span in transaction.get("spans", []):
        yield _span_of(span, process)


def _standalone_spans(payload: dict[str, Any]) -> Iterator[SpanRecord]:
    """A span sent by itself, or a container of them."""
    spans: list[dict[str, Any]] = payload.get("items", [payload])
    for span in spans:
        attributes: dict[str, Any] = span.get("attributes") or span.get("data") or {}
        server: Any = attributes.get("server.address") or attributes.get("sentry.server_name")
        name: Any = server.get("value") if isinstance(server, dict) else server
        yield _span_of(span, str(name or PAGE))


def _span_of(span: dict[str, Any], process: str) -> SpanRecord:
    return SpanRecord(
        trace_id=str(span.get("trace_id")),
        span_id=str(span.get("span_id")),
        parent_id=span.get("parent_span_id"),
        process=process,
        op=str(span.get("op", "")),
        name=str(span.get("description") or span.get("name") or ""),
        status=span.get("status"),
        is_transaction=False,
        data=span.get("data") or {},
    )


def _error_of(event: dict[str, Any]) -> ErrorRecord:
    context: dict[str, Any] = event.get("contexts", {}).get("trace", {})
    exceptions: list[dict[str, Any]] = (event.get("exception") or {}).get("values", [])
    last = exceptions[-1] if exceptions else {}
    message: Any = event.get("message") or (event.get("logentry") or {}).get("message")
    return ErrorRecord(
        trace_id=str(context.get("trace_id")),
        span_id=context.get("span_id"),
        process=str(event.get("server_name")),
        type=str(last.get("type", "message")),
        value=str(last.get("value") or message or ""),
        payload=event,
    )
