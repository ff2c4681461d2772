"""Provider calls: a row is opened before a call is sent and settled once when it has ended, whatever its end."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.tables import calls
from wire.contracts.jobs import UsageEvent
from wire.ids import CallId, TurnId


async def open_call(connection: AsyncConnection, **values: object) -> None:
    """`input_tokens` is an estimate until the call is settled."""
    await connection.execute(insert(calls).values(**values))


async def open_calls_of(connection: AsyncConnection, turn: TurnId) -> Sequence[Row[Any]]:
    """Locked until the transaction ends."""
    statement = select(calls).where(calls.c.turn_id == turn, calls.c.state == "open").with_for_update()
    return (await connection.execute(statement)).all()


async def settle_call(connection: AsyncConnection, event: UsageEvent) -> bool:
    """The call has ended as `event` says; `False` when it was settled before, by whoever took the turn over."""
    statement = (
        update(calls)
        .where(calls.c.id == CallId(event.event_id), calls.c.state == "open")
        .values(
            state=event.state,
            settled_at=func.now(),
            input_tokens=event.input_tokens,
            output_tokens=event.output_tokens,
            token_source=event.token_source,
        )
    )
    return (await connection.execute(statement)).rowcount == 1
