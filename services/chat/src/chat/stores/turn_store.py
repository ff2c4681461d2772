"""Turns: their state machine, as SQL.

`queued → running → complete | failed | stopped`; `running → queued` only by a lease that has ended or was handed over.
Every change of a running turn names the attempt that makes it, so that a superseded worker changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.tables import turns
from wire.ids import ConversationId, PersonId, TurnId

LEASE_S = 8
MAX_ATTEMPTS = 3
SWEEP_LIMIT = 100

OPEN_STATES = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    turn: TurnId
    attempt: int
    text: str


async def insert_turn(connection: AsyncConnection, **values: object) -> Row[Any] | None:
    """The new turn, or `None` when this owner's idempotency key is taken."""
    statement = (
        insert(turns)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["owner_id", "idempotency_key"])
        .returning(turns)
    )
    return (await connection.execute(statement)).one_or_none()


async def find_turn(connection: AsyncConnection, turn: TurnId, owner: PersonId) -> Row[Any] | None:
    statement = select(turns).where(turns.c.id == turn, turns.c.owner_id == owner)
    return (await connection.execute(statement)).one_or_none()


async def find_by_idempotency_key(connection: AsyncConnection, owner: PersonId, key: str) -> Row[Any] | None:
    statement = select(turns).where(turns.c.owner_id == owner, turns.c.idempotency_key == key)
    return (await connection.execute(statement)).one_or_none()


async def turns_of(connection: AsyncConnection, conversation: ConversationId) -> Sequence[Row[Any]]:
    statement = select(turns).where(turns.c.conversation_id == conversation).order_by(turns.c.created_at)
    return (await connection.execute(statement)).all()


async def open_turns_of(connection: AsyncConnection, conversation: ConversationId) -> Sequence[Row[Any]]:
    """Locked until the transaction ends."""
    statement = (
        select(turns).where(turns.c.conversation_id == conversation, turns.c.state.in_(OPEN_STATES)).with_for_update()
    )
    return (await connection.execute(statement)).all()


async def place_in_queue(connection: AsyncConnection, turn: Row[Any]) -> int:
    """How many queued turns are older."""
    statement = (
        select(func.count()).select_from(turns).where(turns.c.state == "queued", turns.c.created_at < turn.created_at)
    )
    return (await connection.execute(statement)).scalar_one()


async def claim(connection: AsyncConnection, turn: TurnId, worker: str) -> Row[Any] | None:
    """The turn is running under a new attempt with a lease of `LEASE_S`; `None` when it is not to be had."""
    free = (
        select(turns.c.id)
        .where(turns.c.id == turn, turns.c.state == "queued")
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        update(turns)
        .where(turns.c.id == free)
        .values(
            state="running",
            attempt=turns.c.attempt + 1,
            worker=worker,
            lease_until=_lease_end(),
            started_at=func.coalesce(turns.c.started_at, func.now()),
        )
        .returning(turns)
    )
    return (await connection.execute(statement)).one_or_none()


async def renew_leases(connection: AsyncConnection, checkpoints: Sequence[Checkpoint]) -> dict[TurnId, bool]:
    """The leases that are still ours, each with whether a person asked to stop; texts are saved. One statement."""
    statement = text(
        """
        UPDATE turns SET lease_until = now() + make_interval(secs => :lease_s), partial_text = held.text
        FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:texts AS text[])) AS held(id, attempt, text)
        WHERE turns.id = held.id AND turns.attempt = held.attempt AND turns.state = 'running'
        RETURNING CAST(turns.id AS text), turns.stop_requested_at IS NOT NULL
        """
    )
    rows = await connection.execute(
        statement,
        {
            "lease_s": float(LEASE_S),
            "ids": [c.turn for c in checkpoints],
            "attempts": [c.attempt for c in checkpoints],
            "texts": [c.text for c in checkpoints],
        },
    )
    return {TurnId(turn): stop_requested for turn, stop_requested in rows.all()}


async def finish(
    connection: AsyncConnection, turn: TurnId, attempt: int, *, state: str, **values: object
) -> Row[Any] | None:
    """The running turn has ended; `None` when this attempt is not the one that holds it."""
    return await _end(connection, _is_running_under(turn, attempt), state=state, **values)


async def give_up(connection: AsyncConnection, turn: TurnId, *, error: dict[str, object]) -> Row[Any]:
    """A running turn has ended as failed, under an attempt of its own: whoever held it can't save any more."""
    row = await _end(
        connection,
        and_(turns.c.id == turn, turns.c.state == "running"),
        state="failed",
        attempt=turns.c.attempt + 1,
        error=error,
    )
    assert row is not None, "the caller has locked the turn"
    return row


async def stop_if_queued(connection: AsyncConnection, turn: TurnId) -> Row[Any] | None:
    """A turn that nobody has claimed has ended as stopped; `None` when it is not queued."""
    waiting = and_(turns.c.id == turn, turns.c.state == "queued")
    return await _end(connection, waiting, state="stopped", finish_reason="stop", stop_requested_at=func.now())


async def request_stop(connection: AsyncConnection, turn: TurnId) -> None:
    await connection.execute(
        update(turns)
        .where(turns.c.id == turn, turns.c.state == "running")
        .values(stop_requested_at=func.coalesce(turns.c.stop_requested_at, func.now()))
    )


async def hand_over(connection: AsyncConnection, turn: TurnId, attempt: int, partial_text: str) -> bool:
    """The turn is queued again for another worker, with the text so far; `False` when it is not ours."""
    statement = (
        update(turns)
        .where(_is_running_under(turn, attempt))
        .values(state="queued", lease_until=None, partial_text=partial_text, enqueued_at=func.now())
    )
    return (await connection.execute(statement)).rowcount == 1


async def requeue_expired(connection: AsyncConnection) -> Sequence[Row[Any]]:
    """Turns whose worker let the lease end are queued again, while they have attempts left."""
    expired = (
        select(turns.c.id)
        .where(turns.c.state == "running", turns.c.lease_until < func.now(), turns.c.attempt < MAX_ATTEMPTS)
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
    """Turns whose last attempt let its lease end; locked until the transaction ends."""
    statement = (
        select(turns)
        .where(turns.c.state == "running", turns.c.lease_until < func.now(), turns.c.attempt >= MAX_ATTEMPTS)
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


async def mark_enqueued(connection: AsyncConnection, turn: TurnId) -> None:
    await connection.execute(update(turns).where(turns.c.id == turn).values(enqueued_at=func.now()))


async def _end(
    connection: AsyncConnection, which: ColumnElement[bool], *, state: str, **values: object
) -> Row[Any] | None:
    """A turn that has ended holds neither a lease nor the request of a `/v1` caller."""
    statement = (
        update(turns)
        .where(which)
        .values(
            state=state,
            lease_until=None,
            ended_at=func.now(),
            partial_text="",
            completion=None,
            **values,
        )
        .returning(turns)
    )
    return (await connection.execute(statement)).one_or_none()


def _is_running_under(turn: TurnId, attempt: int) -> ColumnElement[bool]:
    return and_(turns.c.id == turn, turns.c.attempt == attempt, turns.c.state == "running")


def _lease_end() -> ColumnElement[Any]:
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, LEASE_S)
