"""The store of provider calls: appending them, summing them up, and what a conversation's last call was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, cast, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from tracking.tables import usage_calls as calls
from wire.contracts.tracking import GroupBy
from wire.ids import ConversationId, PersonId

UTC_DAY = func.to_char(func.timezone(literal_column("'UTC'"), calls.c.started_at), literal_column("'YYYY-MM-DD'"))

GROUPS: dict[GroupBy, ColumnElement[str]] = {
    "model": calls.c.model,
    "conversation": calls.c.session_id,
    "day": UTC_DAY,
    "person": calls.c.owner_id,
}


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to but not including `end`; an open side has no bound. A call counts when it started."""

    start: datetime | None = None
    end: datetime | None = None


async def append_call(connection: AsyncConnection, row: dict[str, Any]) -> bool:
    """Whether the call is new. One whose event id is held already is left as it is."""
    statement = insert(calls).values(row).on_conflict_do_nothing(index_elements=[calls.c.event_id])
    return (await connection.execute(statement.returning(calls.c.event_id))).first() is not None


async def summed_calls(
    connection: AsyncConnection,
    owner: PersonId,
    *,
    group_by: GroupBy,
    period: Period,
    session: ConversationId | None = None,
) -> tuple[Sequence[Row[Any]], Row[Any]]:
    """One row of sums a group, in the groups' order, and the row of all of them: one statement, so they agree.

    `group` is the group's name, `None` in the row of all; `cost_usd` is `None` when no cost is known.
    """
    group = GROUPS[group_by]
    is_total = func.grouping(group)
    statement = (
        select(group.label("group"), is_total.label("is_total"), *_sums())
        .where(calls.c.owner_id == owner, *_within(period))
        .group_by(func.grouping_sets(tuple_(group), tuple_()))
        .order_by(is_total, group)
    )
    if session is not None:
        statement = statement.where(calls.c.session_id == session)
    rows = (await connection.execute(statement)).all()
    return rows[:-1], rows[-1]


async def context_tokens(connection: AsyncConnection, owner: PersonId, session: ConversationId) -> int | None:
    """How many tokens the conversation's latest answer read and wrote; `None` before the first."""
    statement = (
        select(calls.c.input_tokens + calls.c.output_tokens)
        .where(
            calls.c.owner_id == owner,
            calls.c.session_id == session,
            calls.c.purpose == "reply",
            calls.c.input_tokens > 0,
        )
        .order_by(calls.c.started_at.desc())
        .limit(1)
    )
    return await connection.scalar(statement)


async def held_calls(connection: AsyncConnection, event_ids: Sequence[str]) -> set[str]:
    statement = select(calls.c.event_id).where(calls.c.event_id.in_(event_ids))
    return set((await connection.scalars(statement)).all())


def _sums() -> list[ColumnElement[Any]]:
    def tokens(column: ColumnElement[int]) -> ColumnElement[int]:
        return cast(func.coalesce(func.sum(column), 0), BigInteger)

    return [
        func.count().label("calls"),
        tokens(calls.c.input_tokens).label("prompt_tokens"),
        tokens(calls.c.output_tokens).label("completion_tokens"),
        tokens(calls.c.input_tokens + calls.c.output_tokens).label("total_tokens"),
        tokens(calls.c.cached_tokens).label("cached_tokens"),
        tokens(calls.c.reasoning_tokens).label("reasoning_tokens"),
        func.sum(calls.c.cost_usd).label("cost_usd"),
        func.count().filter(calls.c.cost_usd.is_(None)).label("unpriced_calls"),
    ]


def _within(period: Period) -> list[ColumnElement[bool]]:
    bounds: list[ColumnElement[bool]] = []
    if period.start is not None:
        bounds.append(calls.c.started_at >= period.start)
    if period.end is not None:
        bounds.append(calls.c.started_at < period.end)
    return bounds
