"""What tracking must hear of, kept until tracking says that it has it. Written in the transaction that it tells of."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.tables import outbox
from wire.contracts import Readable
from wire.telemetry.spans import TraceHeaders


async def add_event(
    connection: AsyncConnection, event_id: str, job: str, payload: Readable, trace: TraceHeaders
) -> None:
    """The same event twice is one event."""
    statement = (
        insert(outbox)
        .values(event_id=event_id, job=job, payload=payload.model_dump(mode="json"), trace=trace)
        .on_conflict_do_nothing(index_elements=["event_id"])
    )
    await connection.execute(statement)


async def take_unconfirmed(connection: AsyncConnection, *, after_s: float, limit: int) -> Sequence[Row[Any]]:
    """Events that were sent a while ago, the oldest first; marked as sent now, so that two sweeps share the work."""
    sent = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, after_s)
    due = (
        select(outbox.c.event_id)
        .where(outbox.c.sent_at < sent)
        .order_by(outbox.c.sent_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = update(outbox).where(outbox.c.event_id.in_(due)).values(sent_at=func.now()).returning(outbox)
    return (await connection.execute(statement)).all()


async def delete_events(connection: AsyncConnection, event_ids: Sequence[str]) -> None:
    if event_ids:
        await connection.execute(delete(outbox).where(outbox.c.event_id.in_(event_ids)))
