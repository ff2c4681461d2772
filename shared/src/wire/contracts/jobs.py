"""Jobs: their names, the envelope they travel in, and their payloads. All of it is JSON and free of anybody's text."""

from datetime import datetime
from typing import Any, Literal

from wire.contracts import Readable
from wire.contracts.money import Price

REPLY = "reply"
RECORD_USAGE = "record_usage"
TRACK_MODEL_SWITCH = "track_model_switch"
COMPLETE_MODEL_SWITCH = "complete_model_switch"

SwitchReason = Literal["user", "fallback", "rescue", "budget", "context"]


class Envelope(Readable):
    """What arq carries: the trace to go on with, when it was enqueued, and the payload."""

    trace: dict[str, str]
    """`sentry-trace` and `baggage`."""
    enqueued_at: float
    """Seconds since the epoch."""
    payload: dict[str, Any]


class ReplyJob(Readable):
    turn_id: str


class UsageEvent(Readable):
    """One provider call that has ended, whatever its end."""

    event_id: str
    turn_id: str
    session_id: str
    """The conversation."""
    owner_id: str
    attempt: int
    call: int
    purpose: Literal["reply", "title"] = "reply"
    state: Literal["complete", "stopped", "failed", "cut", "aborted"]
    model: str
    """The model that was asked for, by Hopline's name for it."""
    response_model: str | None = None
    """The model that the provider says it was."""
    provider: str
    input_tokens: int
    cached_tokens: int = 0
    output_tokens: int
    reasoning_tokens: int = 0
    token_source: Literal["reported", "estimated", "recovered"]
    price: Price | None = None
    time_to_first_token_ms: int | None = None
    duration_ms: int | None = None
    queue_wait_ms: int | None = None
    finish_reason: str | None = None
    error_class: str | None = None
    trace_id: str | None = None
    origin: Literal["page", "v1"] = "page"
    started_at: datetime
    ended_at: datetime


class SwitchStarted(Readable):
    tracking_id: str
    session_id: str
    owner_id: str
    from_model: str
    to_model: str
    reason: SwitchReason = "user"
    started_at: datetime
    metadata: dict[str, Any] = {}


class SwitchCompleted(Readable):
    """The first turn with the new model has ended. Carries the start too, should that never have arrived."""

    tracking_id: str
    session_id: str
    owner_id: str
    from_model: str
    to_model: str
    reason: SwitchReason = "user"
    outcome: Literal["completed", "failed"]
    turn_id: str
    started_at: datetime
    completed_at: datetime


def switch_started_event_id(tracking_id: str) -> str:
    return f"{tracking_id}:started"


def switch_completed_event_id(tracking_id: str) -> str:
    return f"{tracking_id}:completed"
