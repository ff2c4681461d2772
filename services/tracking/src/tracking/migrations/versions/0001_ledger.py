"""The ledger: provider calls and model switches."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "usage_calls",
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("turn_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("call", sa.Integer, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("response_model", sa.Text),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("token_source", sa.Text, nullable=False),
        sa.Column("price_input", sa.Numeric),
        sa.Column("price_cached_input", sa.Numeric),
        sa.Column("price_output", sa.Numeric),
        sa.Column("price_version", sa.Text),
        sa.Column("cost_usd", sa.Numeric),
        sa.Column("time_to_first_token_ms", sa.BigInteger),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("queue_wait_ms", sa.BigInteger),
        sa.Column("finish_reason", sa.Text),
        sa.Column("error_class", sa.Text),
        sa.Column("trace_id", sa.Text),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("event_id", name="usage_calls_pkey"),
        sa.CheckConstraint(
            "input_tokens >= 0 AND cached_tokens >= 0 AND output_tokens >= 0 AND reasoning_tokens >= 0",
            name=op.f("usage_calls_tokens_check"),
        ),
    )
    op.create_index("usage_calls_owner_id_started_at_idx", "usage_calls", ["owner_id", "started_at"])
    op.create_index("usage_calls_session_id_started_at_idx", "usage_calls", ["session_id", "started_at"])
    op.create_table(
        "model_switches",
        sa.Column("tracking_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("from_model", sa.Text, nullable=False),
        sa.Column("to_model", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("completed_at", MOMENT),
        sa.Column("turn_id", sa.Text),
        sa.Column("metadata", postgresql.JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("start_received_at", MOMENT),
        sa.Column("end_received_at", MOMENT),
        sa.PrimaryKeyConstraint("tracking_id", name="model_switches_pkey"),
        sa.CheckConstraint("(state = 'started') = (completed_at IS NULL)", name=op.f("model_switches_ended_check")),
        sa.CheckConstraint("state IN ('started', 'completed', 'failed')", name=op.f("model_switches_state_check")),
    )
    op.create_index("model_switches_session_id_started_at_idx", "model_switches", ["session_id", "started_at"])
    op.create_index("model_switches_owner_id_started_at_idx", "model_switches", ["owner_id", "started_at"])
