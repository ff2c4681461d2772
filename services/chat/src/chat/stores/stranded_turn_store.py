"""Turns that nobody looks after: the sweep's side of their state machine. See `turn_store` for the rest of it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.tables import turns

MAX_ATTEMPTS = 3
SWEEP_LIMIT = 100


async def requeue_expired(connection: AsyncConnection) -> Sequence[Row[Any]]:
    """Turns whose worker let the lease end are queued again, while they have attempts left and nobody wants a stop."""
    expired = (
        select(turns.c.id)
        .where(
            turns.c.state == "running",
            turns.c.lease_until < func.now(),
            turns.c.attempt < MAX_ATTEMPTS,
            turns.c.stop_requested_at.is_(None),
        )
        .limit(SWEEP_LIMIT)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(turns)
        .where(turns.c.id.in_(expired))
        .values(state="queued", lease_until=None, enqueued_at=func.now())
        .returning(turns)
    )
    return (await connection.execute(statement)).all()


async def find_given_up(connection: AsyncConnection) -> Sequence[Row[Any]]:
    """Turns that no worker is to take: out of attempts, or to be stopped. Locked until the transaction ends."""
    has_no_lease = or_(turns.c.state == "queued", and_(turns.c.state == "running", turns.c.lease_until < func.now()))
    out_of_attempts = and_(turns.c.state == "running", turns.c.attempt >= MAX_ATTEMPTS)
    statement = (
        select(turns)
        .where(has_no_lease, or_(out_of_attempts, turns.c.stop_requested_at.is_not(None)))
        .limit(SWEEP_LIMIT)
        .with_for_update(skip_locked=True)
    )
    return (await connection.execute(statement)).all()


async def forgotten_in_queue(connection: AsyncConnection, *, after_s: float) -> Sequence[Row[Any]]:
    """Queued turns that nobody was told of for a while; marked as told now."""
    told = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, after_s)
    waiting = (
        select(turns.c.id)
        .where(turns.c.state == "queued", or_(turns.c.enqueued_at.is_(None), turns.c.enqueued_at < told))
        .order_by(turns.c.created_at)
        .limit(SWEEP_LIMIT)
        .with_for_update(skip_locked=True)
    )
    statement = update(turns).where(turns.c.id.in_(waiting)).values(enqueued_at=func.now()).returning(turns)
    return (await connection.execute(statement)).all()
