"""Chat's tables, as the migrations make them.

A conversation's messages form a tree. The answer that a turn gives is the message with the turn's own id. Every
provider call has its row in `calls` before it is sent; `outbox` holds what tracking must hear of, until tracking says
that it has it. `calls` and `outbox` hold nobody's text and outlive a conversation that is deleted.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = Uuid(as_uuid=False)
MOMENT = DateTime(timezone=True)


def _created() -> "Column[object]":
    return Column("created_at", MOMENT, nullable=False, server_default=func.now())


conversations = Table(
    "conversations",
    metadata,
    Column("id", ID, primary_key=True),
    Column("owner_id", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False),
    Column("pending_switch", JSONB),
    _created(),
    Column("updated_at", MOMENT, nullable=False, server_default=func.now()),
    CheckConstraint("origin IN ('page', 'v1')", name="origin"),
    Index("ix_conversations_owner_id_updated_at", "owner_id", "updated_at"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", ID, primary_key=True),
    Column("conversation_id", ID, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("parent_id", ID, ForeignKey("messages.id", ondelete="CASCADE")),
    Column("role", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("model", Text),
    _created(),
    CheckConstraint("role IN ('user', 'assistant')", name="role"),
    Index("ix_messages_conversation_id_created_at", "conversation_id", "created_at"),
    Index("ix_messages_parent_id", "parent_id"),
)

turns = Table(
    "turns",
    metadata,
    Column("id", ID, primary_key=True),
    Column("conversation_id", ID, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("person_message_id", ID, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("owner_id", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("model", Text, nullable=False),
    Column("completion", JSONB),
    Column("switch", JSONB),
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary),
    Column("trace", JSONB, nullable=False),
    Column("trace_id", Text),
    Column("worker", Text),
    Column("lease_until", MOMENT),
    Column("stop_requested_at", MOMENT),
    Column("partial_text", Text, nullable=False, server_default=""),
    Column("chunks", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("usage", JSONB),
    Column("error", JSONB),
    Column("finish_reason", Text),
    _created(),
    Column("enqueued_at", MOMENT),
    Column("started_at", MOMENT),
    Column("first_token_at", MOMENT),
    Column("ended_at", MOMENT),
    CheckConstraint("state IN ('queued', 'running', 'complete', 'failed', 'stopped')", name="state"),
    CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
    Index("uq_turns_owner_id_idempotency_key", "owner_id", "idempotency_key", unique=True),
    Index("ix_turns_conversation_id", "conversation_id"),
    Index("ix_turns_person_message_id", "person_message_id"),
    Index("ix_turns_open", "state", "created_at", postgresql_where=text("state IN ('queued', 'running')")),
)

calls = Table(
    "calls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("turn_id", ID, nullable=False),
    Column("session_id", ID, nullable=False),
    Column("owner_id", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("call", Integer, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("price", JSONB),
    Column("trace_id", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("token_source", Text),
    Column("opened_at", MOMENT, nullable=False, server_default=func.now()),
    Column("settled_at", MOMENT),
    CheckConstraint("state IN ('open', 'complete', 'stopped', 'failed', 'cut', 'aborted')", name="state"),
    CheckConstraint("(state = 'open') = (settled_at IS NULL)", name="settled"),
    Index("ix_calls_turn_id", "turn_id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("job", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("trace", JSONB, nullable=False),
    _created(),
    Column("sent_at", MOMENT, nullable=False, server_default=func.now()),
    Index("ix_outbox_sent_at", "sent_at"),
)
