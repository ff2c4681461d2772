"""The tables of `hopline_tracking`. `migrations` makes them; a test holds both to the same shape.

| table | a row is | changes |
|---|---|---|
| `usage_calls` | one provider call that has ended | never: a correction is a row of its own |
| `model_switches` | one switch, from its start to its end | each half is written once, in whichever order they come |
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

MOMENT = DateTime(timezone=True)


def _known(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False)


usage_calls = Table(
    "usage_calls",
    metadata,
    Column("event_id", Text, primary_key=True),
    _known("turn_id", Text),
    _known("session_id", Text),
    _known("owner_id", Text),
    _known("attempt", Integer),
    _known("call", Integer),
    _known("purpose", Text),
    _known("state", Text),
    _known("model", Text),
    Column("response_model", Text),
    _known("provider", Text),
    _known("input_tokens", BigInteger),
    _known("cached_tokens", BigInteger),
    _known("output_tokens", BigInteger),
    _known("reasoning_tokens", BigInteger),
    _known("token_source", Text),
    # US dollars per million tokens, as they were when the call was made. All empty when the price is unknown.
    Column("price_input", Numeric),
    Column("price_cached_input", Numeric),
    Column("price_output", Numeric),
    Column("price_version", Text),
    # Unconstrained numeric keeps every digit. Empty means unknown, which is not zero.
    Column("cost_usd", Numeric),
    Column("time_to_first_token_ms", BigInteger),
    Column("duration_ms", BigInteger),
    Column("queue_wait_ms", BigInteger),
    Column("finish_reason", Text),
    Column("error_class", Text),
    Column("trace_id", Text),
    _known("origin", Text),
    _known("started_at", MOMENT),
    _known("ended_at", MOMENT),
    Column("received_at", MOMENT, nullable=False, server_default=text("now()")),
    CheckConstraint(
        "input_tokens >= 0 AND cached_tokens >= 0 AND output_tokens >= 0 AND reasoning_tokens >= 0", name="tokens"
    ),
    Index(None, "owner_id", "started_at"),
    Index(None, "session_id", "started_at"),
)

model_switches = Table(
    "model_switches",
    metadata,
    Column("tracking_id", Text, primary_key=True),
    _known("session_id", Text),
    _known("owner_id", Text),
    _known("from_model", Text),
    _known("to_model", Text),
    _known("reason", Text),
    _known("state", Text),
    _known("started_at", MOMENT),
    Column("completed_at", MOMENT),
    Column("turn_id", Text),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # When each half came. A start that is known only from its completion has not come itself yet.
    Column("start_received_at", MOMENT),
    Column("end_received_at", MOMENT),
    CheckConstraint("(state = 'started') = (completed_at IS NULL)", name="ended"),
    CheckConstraint("state IN ('started', 'completed', 'failed')", name="state"),
    Index(None, "session_id", "started_at"),
    Index(None, "owner_id", "started_at"),
)
