"""Turns: their state machine, as SQL.

`queued → running → complete | failed | stopped`; `running → queued` only by a lease that has ended or was handed over.
Every change of a running turn names the attempt that makes it, so that a superseded worker changes nothing.

A transaction that needs both locks its turns first and their conversation after them. (Accepting locks no turn.)

| `worker` | the turn |
|---|---|
| set, running | is answered by this worker |
| set, queued | its lease has ended; as long as nobody else claims it, its worker may come back and go on |
| set, ended | was ended by this worker |
| `NULL` | was never claimed, was handed over, or was ended without a worker |
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

OPEN_STATES = ("queued", "running")
SUMMARY = [column for column in turns.columns if column.name not in ("completion", "chunks", "request_hash", "trace")]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    turn: TurnId
    attempt: int
    text: str | None
    """`None`: the same as at the last one."""


async def insert_turn(connection: AsyncConnection, **values: object) -> Row[Any] | None:
    """The new turn, or `None` when this owner's idempotency key is taken."""
    statement = (
        insert(turns)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["owner_id", "idempotency_key"])
        .returning(turns)
    )
    return (await connection.execute(statement)).one_or_none()


async def find_turn(
    connection: AsyncConnection, turn: TurnId, owner: PersonId, *, for_update: bool = False
) -> Row[Any] | None:
    statement = select(turns).where(turns.c.id == turn, turns.c.owner_id == owner)
    if for_update:
        statement = statement.with_for_update()
    return (await connection.execute(statement)).one_or_none()


async def find_by_idempotency_key(connection: AsyncConnection, owner: PersonId, key: str) -> Row[Any] | None:
    statement = select(turns).where(turns.c.owner_id == owner, turns.c.idempotency_key == key)
    return (await connection.execute(statement)).one_or_none()


async def turns_of(connection: AsyncConnection, conversation: ConversationId) -> Sequence[Row[Any]]:
    """Without what only an answering worker needs, which may be large."""
    statement = select(*SUMMARY).where(turns.c.conversation_id == conversation).order_by(turns.c.created_at)
    return (await connection.execute(statement)).all()


async def has_open_turn(connection: AsyncConnection, conversation: ConversationId) -> bool:
    statement = select(turns.c.id).where(_is_open_in(conversation)).limit(1)
    return (await connection.execute(statement)).one_or_none() is not None


async def lock_open_turns(connection: AsyncConnection, conversation: ConversationId) -> Sequence[Row[Any]]:
    """They stay as they are until the transaction ends."""
    statement = select(turns).where(_is_open_in(conversation)).order_by(turns.c.id).with_for_update()
    return (await connection.execute(statement)).all()


async def place_in_queue(connection: AsyncConnection, turn: Row[Any]) -> int:
    """How many queued turns are older."""
    statement = (
        select(func.count()).select_from(turns).where(turns.c.state == "queued", turns.c.created_at < turn.created_at)
    )
    return (await connection.execute(statement)).scalar_one()


async def claim(connection: AsyncConnection, turn: TurnId, worker: str) -> Row[Any] | None:
    """The turn is running under a new attempt with a lease of `LEASE_S`; `None` when it is not to be had.

    One that a person wants stopped is not: the sweep ends it.
    """
    free = (
        select(turns.c.id)
        .where(turns.c.id == turn, turns.c.state == "queued", turns.c.stop_requested_at.is_(None))
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


async def restart_text(connection: AsyncConnection, turn: TurnId, kept: str) -> None:
    """What an earlier attempt said is forgotten but for `kept`, where the new one goes on."""
    await connection.execute(update(turns).where(turns.c.id == turn).values(partial_text=kept))


async def is_held(connection: AsyncConnection, turn: TurnId, attempt: int) -> bool:
    """Whether the turn is this attempt's, and stays so until the transaction ends."""
    statement = select(turns.c.id).where(_is_held_by(turn, attempt)).with_for_update()
    return (await connection.execute(statement)).one_or_none() is not None


async def renew_leases(connection: AsyncConnection, checkpoints: Sequence[Checkpoint]) -> dict[TurnId, bool]:
    """The leases that are ours, each with whether a person asked to stop; texts are saved. One statement.

    A lease that has ended is taken up again, unless another worker has claimed the turn.
    """
    statement = text(
        """
        UPDATE turns SET state = 'running', lease_until = now() + make_interval(secs => :lease_s),
            partial_text = coalesce(held.text, partial_text)
        FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:texts AS text[])) AS held(id, attempt, text)
        WHERE turns.id = held.id AND turns.attempt = held.attempt
            AND (turns.state = 'running' OR (turns.state = 'queued' AND turns.worker IS NOT NULL))
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
    """The turn has ended as its attempt says; `None` when this attempt is not the one that holds it."""
    return await _end(connection, _is_held_by(turn, attempt), state=state, **values)


async def end_without_worker(connection: AsyncConnection, turn: TurnId, *, state: str, **values: object) -> None:
    """A turn that the caller has locked has ended, and whoever answered it can't save any more."""
    await _end(connection, turns.c.id == turn, state=state, worker=None, **values)


async def request_stop(connection: AsyncConnection, turn: TurnId) -> None:
    """The worker of a running turn finds the flag at its next renewal."""
    await connection.execute(
        update(turns)
        .where(turns.c.id == turn, turns.c.state == "running")
        .values(stop_requested_at=func.coalesce(turns.c.stop_requested_at, func.now()))
    )


async def hand_over(connection: AsyncConnection, turn: TurnId, attempt: int, partial_text: str) -> bool:
    """The turn is queued again for another worker, with the text so far; `False` when it is not ours."""
    statement = (
        update(turns)
        .where(_is_held_by(turn, attempt))
        .values(state="queued", worker=None, lease_until=None, partial_text=partial_text, enqueued_at=func.now())
    )
    return (await connection.execute(statement)).rowcount == 1


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


def _is_open_in(conversation: ConversationId) -> ColumnElement[bool]:
    return and_(turns.c.conversation_id == conversation, turns.c.state.in_(OPEN_STATES))


def _is_held_by(turn: TurnId, attempt: int) -> ColumnElement[bool]:
    """Running under this attempt, or queued since its lease ended and claimed by nobody."""
    left_alone = and_(turns.c.state == "queued", turns.c.worker.is_not(None))
    return and_(turns.c.id == turn, turns.c.attempt == attempt, or_(turns.c.state == "running", left_alone))


def _lease_end() -> ColumnElement[Any]:
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, LEASE_S)
