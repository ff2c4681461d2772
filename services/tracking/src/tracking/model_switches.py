"""The store of model switches. Each half of a switch is one upsert, and the two can be written in any order.

| field | who says it |
|---|---|
| conversation, owner, models, reason | both halves, alike; a half that says otherwise is refused |
| `started_at` | the earlier of what both say |
| `metadata` | the start; an empty one says nothing |
| `state`, `completed_at`, `turn_id` | the first completion that comes |
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, case, func, or_, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from tracking.errors import SwitchConflict
from tracking.tables import model_switches as switches
from wire.contracts.jobs import SwitchCompleted, SwitchStarted
from wire.ids import ConversationId, PersonId

IDENTITY = ("session_id", "owner_id", "from_model", "to_model", "reason")


async def write_start(connection: AsyncConnection, start: SwitchStarted) -> None:
    """The start is recorded.

    Raises:
        SwitchConflict: the id is another switch's; nothing was changed.
    """
    new = insert(switches).values(**start.model_dump(), state="started", start_received_at=func.now())
    held, said = switches.c, new.excluded
    await _upsert(
        connection,
        new,
        metadata=case((held.metadata == _EMPTY, said.metadata), else_=held.metadata),
        start_received_at=func.coalesce(held.start_received_at, said.start_received_at),
    )


async def write_completion(connection: AsyncConnection, end: SwitchCompleted) -> None:
    """The completion is recorded, and the start as far as the completion tells of it.

    Raises:
        SwitchConflict: the id is another switch's; nothing was changed.
    """
    new = insert(switches).values(
        **end.model_dump(exclude={"outcome"}), state=end.outcome, metadata=_EMPTY, end_received_at=func.now()
    )
    held, said = switches.c, new.excluded
    is_first = held.completed_at.is_(None)
    await _upsert(
        connection,
        new,
        state=case((is_first, said.state), else_=held.state),
        completed_at=func.coalesce(held.completed_at, said.completed_at),
        turn_id=case((is_first, said.turn_id), else_=held.turn_id),
        end_received_at=func.coalesce(held.end_received_at, said.end_received_at),
    )


async def switches_of_session(
    connection: AsyncConnection, owner: PersonId, session: ConversationId
) -> Sequence[Row[Any]]:
    """In the order of their start."""
    statement = (
        select(switches)
        .where(switches.c.owner_id == owner, switches.c.session_id == session)
        .order_by(switches.c.started_at, switches.c.tracking_id)
    )
    return (await connection.execute(statement)).all()


async def halves_received(connection: AsyncConnection, tracking_ids: Sequence[str]) -> Sequence[Row[str, Any, Any]]:
    """`tracking_id`, `start_received_at` and `end_received_at` of those that are known."""
    statement = select(switches.c.tracking_id, switches.c.start_received_at, switches.c.end_received_at)
    return (await connection.execute(statement.where(switches.c.tracking_id.in_(tracking_ids)))).all()


_EMPTY: dict[str, Any] = {}


async def _upsert(connection: AsyncConnection, new: Insert, **changes: Any) -> None:
    held, said = switches.c, new.excluded
    is_same_switch = and_(
        *(held[name] == said[name] for name in IDENTITY),
        or_(held.metadata == said.metadata, held.metadata == _EMPTY, said.metadata == _EMPTY),
    )
    statement = new.on_conflict_do_update(
        index_elements=[held.tracking_id],
        set_={"started_at": func.least(held.started_at, said.started_at), **changes},
        where=is_same_switch,
    ).returning(held.tracking_id)
    if (await connection.execute(statement)).first() is None:
        raise SwitchConflict
