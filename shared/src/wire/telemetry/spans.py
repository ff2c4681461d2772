"""Spans, transactions, errors and messages, as the services write them. docs/sentry.md shows each at work.

Work that a request starts is already inside its transaction; `span` adds to it. Work that a queue or a timer starts
opens a transaction of its own with `queue_process` or `background_transaction`.
"""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Literal
from uuid import uuid4

import sentry_sdk
from sentry_sdk.tracing import Span, TransactionSource

TraceHeaders = dict[str, str]
Level = Literal["debug", "info", "warning", "error", "fatal"]


def current_trace_id() -> str | None:
    """The trace of the work under way, 32 hex digits; `None` outside of any."""
    active = sentry_sdk.get_current_span()
    return None if active is None else active.trace_id


def trace_headers() -> TraceHeaders:
    """`sentry-trace` and `baggage` to carry over a hop, so that its other side continues this trace."""
    headers = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
    return {name: value for name, value in headers.items() if value}


@contextmanager
def span(op: str, name: str, **data: object) -> Generator[Span]:
    with sentry_sdk.start_span(op=op, name=name) as active:
        set_span_data(active, data)
        yield active


def set_span_data(active: Span, data: Mapping[str, object]) -> None:
    """Sets each value that is known."""
    for name, value in data.items():
        if value is not None:
            active.set_data(name, value)


@contextmanager
def queue_publish(queue: str, message_id: str, body_size: int) -> Generator[TraceHeaders]:
    """Yields the headers that the message takes with it: what processes it becomes this span's child."""
    with sentry_sdk.start_span(op="queue.publish", name=queue) as active:
        set_span_data(
            active,
            {
                "messaging.system": "redis",
                "messaging.destination.name": queue,
                "messaging.message.id": message_id,
                "messaging.message.body.size": body_size,
            },
        )
        yield {
            name: value
            for name, value in (
                ("sentry-trace", active.to_traceparent()),
                ("baggage", sentry_sdk.get_baggage()),
            )
            if value
        }


@contextmanager
def queue_process(
    queue: str,
    job: str,
    *,
    headers: TraceHeaders,
    message_id: str,
    retries: int,
    enqueued_at: float,
    body_size: int,
) -> Generator[None]:
    """A transaction that continues the publisher's trace; an error inside is captured once, here, and raised on."""
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        transaction = sentry_sdk.continue_trace(headers, op="queue.process", name=job, source=TransactionSource.TASK)
        with sentry_sdk.start_transaction(transaction):
            set_span_data(
                transaction,
                {
                    "messaging.system": "redis",
                    "messaging.destination.name": queue,
                    "messaging.message.id": message_id,
                    "messaging.message.retry.count": retries,
                    "messaging.message.receive.latency": max(0.0, (time.time() - enqueued_at) * 1000),
                    "messaging.message.body.size": body_size,
                },
            )
            try:
                yield
            except Exception as error:
                transaction.set_status("internal_error")
                if not getattr(error, "already_reported", False):
                    sentry_sdk.capture_exception(error)
                raise


@contextmanager
def background_transaction(name: str, *, headers: TraceHeaders | None = None) -> Generator[None]:
    """A transaction for work that no request starts; with `headers` it continues the trace they name."""
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        transaction = sentry_sdk.continue_trace(headers or {}, op="task", name=name, source=TransactionSource.TASK)
        with sentry_sdk.start_transaction(transaction):
            yield


def name_transaction(name: str) -> None:
    sentry_sdk.get_current_scope().set_transaction_name(name, source=TransactionSource.ROUTE)


def report_error(error: BaseException, **tags: str) -> None:
    """One error event in the trace under way. The error is marked, so that an outer fence does not report it again."""
    with sentry_sdk.new_scope() as scope:
        for name, value in tags.items():
            scope.set_tag(name, value)
        error.sentry_event_id = sentry_sdk.capture_exception(error)  # type: ignore[attr-defined]
    error.already_reported = True  # type: ignore[attr-defined]


def report_message(message: str, level: Level, **tags: str) -> None:
    """One event that is no error, in the trace under way. Sentry groups by `message`: what differs belongs in tags."""
    with sentry_sdk.new_scope() as scope:
        for name, value in tags.items():
            scope.set_tag(name, value)
        sentry_sdk.capture_message(message, level)


def name_event(error: BaseException) -> str | None:
    """The id that the event of this error will have, if the SDK comes to capture it; `None` where nothing is sent."""
    known: str | None = getattr(error, "sentry_event_id", None)
    if known is not None or sentry_sdk.get_client().dsn is None:
        return known
    error.sentry_event_id = event_id = uuid4().hex  # type: ignore[attr-defined]
    return event_id


def tag(**tags: str | None) -> None:
    """Tags on everything that this unit of work reports from here on."""
    scope = sentry_sdk.get_isolation_scope()
    for name, value in tags.items():
        if value is not None:
            scope.set_tag(name, value)


def set_context(name: str, **values: str | float | bool | None) -> None:
    """A table of facts under `name` on everything that this unit of work reports from here on. No text of a person."""
    sentry_sdk.get_isolation_scope().set_context(name, values)


def set_person(person_id: str) -> None:
    """Who this unit of work is for: the id alone."""
    sentry_sdk.get_isolation_scope().set_user({"id": person_id})


def set_measurements(**values: tuple[float, str]) -> None:
    """Numbers with their unit on the transaction under way, e.g. `total_tokens=(212, "none")`."""
    active: Any = sentry_sdk.get_current_scope().transaction
    if active is None:
        return
    for name, (value, _unit) in values.items():
        active.set_data(name, value)
