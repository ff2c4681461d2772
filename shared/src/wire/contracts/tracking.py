"""What the gateway and chat ask of tracking, and what tracking answers. Money is decimal text, `None` when unknown."""

from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field

from wire.contracts import Readable, StrictBody
from wire.contracts.chat import ModelName, UuidText
from wire.contracts.jobs import SwitchReason
from wire.contracts.money import Price

MAX_HELD_IDS = 1000

MAX_METADATA_BYTES = 4096


def _storable(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        encoded = orjson.dumps(metadata)
    except TypeError as error:
        raise ValueError("This is not valid JSON.") from error
    if len(encoded) > MAX_METADATA_BYTES:
        raise ValueError(f"This is larger than {MAX_METADATA_BYTES:,} bytes.")
    if b"\\u0000" in encoded:
        raise ValueError("A NUL character can't be kept.")
    return orjson.loads(encoded)  # what is not JSON, such as NaN, has become null


GroupBy = Literal["model", "conversation", "day", "person"]


class NewSwitch(StrictBody):
    """A person picked another model. The same `tracking_id` again changes nothing."""

    tracking_id: UuidText
    session_id: UuidText
    from_model: ModelName
    to_model: ModelName
    reason: SwitchReason = "user"
    to_price: Price | None = None
    """For the estimate; `None` when the price is unknown."""
    metadata: Annotated[dict[str, Any], AfterValidator(_storable)] = {}


class SwitchEstimate(Readable):
    context_tokens: int | None
    """Tokens that the new model reads again; `None` when no call of the conversation has been counted yet."""
    cost_usd: str | None


class TrackedSwitch(Readable):
    tracking_id: str
    from_model: str
    to_model: str
    estimate: SwitchEstimate


class UsageTotal(Readable):
    calls: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: str | None
    """The sum of the known costs; `None` when none is known."""
    unpriced_calls: int
    """Calls whose price is unknown: they are in no sum of money."""


class UsageRow(UsageTotal):
    """One group of a report: the field named by `group_by` is set, the others are `None`."""

    model: str | None = None
    conversation_id: str | None = None
    day: str | None = None
    person_id: str | None = None


class UsageReport(Readable):
    rows: list[UsageRow]
    total: UsageTotal


class ModelUsage(UsageTotal):
    model: str


class SwitchRecord(Readable):
    tracking_id: str
    from_model: str
    to_model: str
    reason: str
    state: Literal["started", "completed", "failed"]
    started_at: datetime
    completed_at: datetime | None
    turn_id: str | None


class SessionUsage(Readable):
    """A conversation's account: `get_model_usage_by_session`."""

    session_id: str
    models: list[ModelUsage]
    switches: list[SwitchRecord]
    total: UsageTotal


class HeldQuestion(StrictBody):
    ids: Annotated[list[str], Field(max_length=MAX_HELD_IDS)]


class HeldAnswer(Readable):
    held: list[str]
