"""Makes good what a crash, a flushed Redis or a tracking service that was away left behind. Runs in every worker.

| what it finds | what it does |
|---|---|
| a running turn whose lease has ended, with attempts left | queues it again and tells a worker |
| the same, without attempts left | ends it as failed, with the text so far |
| the same, or one that was handed over, and a person wants it stopped | ends it as stopped, with the text so far |
| a queued turn that nobody was told of for a while | tells a worker |
| an outbox event that was sent a while ago | deletes it if tracking has it, sends it again if not |
"""

from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy import Row

from chat.end_without_worker import end_without_worker, tell_end_without_worker
from chat.errors import TurnGivenUp
from chat.stores import outbox_store, stranded_turn_store
from wire.contracts import Readable
from wire.contracts.chat import TurnError
from wire.contracts.jobs import (
    COMPLETE_MODEL_SWITCH,
    RECORD_USAGE,
    REPLY,
    TRACK_MODEL_SWITCH,
    ReplyJob,
    SwitchCompleted,
    SwitchStarted,
    UsageEvent,
)
from wire.contracts.tracking import HeldAnswer, HeldQuestion
from wire.database import Database
from wire.log import get_logger
from wire.queue import Queue, QueueUnavailable
from wire.telemetry.spans import background_transaction, report_error

SWEEP_EVERY_S = 1.0
TELL_AGAIN_AFTER_S = 5.0
CONFIRM_AFTER_S = 10.0
CONFIRM_BATCH = 500

GIVEN_UP = TurnError(
    code="worker_lost", message="The answer broke off several times and was given up. Try again.", retryable=True
)
PAYLOAD_OF: dict[str, type[Readable]] = {
    RECORD_USAGE: UsageEvent,
    TRACK_MODEL_SWITCH: SwitchStarted,
    COMPLETE_MODEL_SWITCH: SwitchCompleted,
}

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    database: Database
    redis: Redis
    own_queue: Queue
    tracking_queue: Queue
    tracking: httpx.AsyncClient

    async def turns(self) -> None:
        """No turn stays running under a lease that has ended, none stays queued unheard.

        Raises:
            DatabaseUnavailable: the rest is swept the next time.
        """
        await self._end_given_up()
        async with self.database.transaction() as connection:
            expired = await stranded_turn_store.requeue_expired(connection)
            forgotten = await stranded_turn_store.forgotten_in_queue(connection, after_s=TELL_AGAIN_AFTER_S)
        for row in expired:
            log.warning("turn is queued again, its worker is gone", turn_id=row.id, attempt=row.attempt)
        try:
            for row in (*expired, *forgotten):
                await self.own_queue.publish(REPLY, ReplyJob(turn_id=row.id), headers=row.trace)
        except QueueUnavailable:
            log.warning("redis is away, the turns wait", turns=len(expired) + len(forgotten))

    async def outbox(self) -> None:
        """What tracking has is deleted, what it has not is sent again.

        Raises:
            DatabaseUnavailable, httpx.HTTPError: the events stay and are looked at again.
        """
        async with self.database.transaction() as connection:
            rows = await outbox_store.take_unconfirmed(connection, after_s=CONFIRM_AFTER_S, limit=CONFIRM_BATCH)
        if not rows:
            return
        held = await self._held([row.event_id for row in rows])
        async with self.database.transaction() as connection:
            await outbox_store.delete_events(connection, list(held))
        missing = [row for row in rows if row.event_id not in held]
        try:
            for row in missing:
                await self._send_again(row)
        except QueueUnavailable:
            log.warning("redis is away, the outbox keeps the events", events=len(missing))

    async def _end_given_up(self) -> None:
        async with self.database.transaction() as connection:
            rows = await stranded_turn_store.find_given_up(connection)
            lengths: list[int] = []
            for row in rows:
                with background_transaction("end turn", headers=row.trace):
                    lengths.append(await end_without_worker(connection, row, _error_of(row)))
        for row, length in zip(rows, lengths, strict=True):
            await tell_end_without_worker(self.redis, row, _error_of(row), length)
            _note_end(row)

    async def _held(self, event_ids: list[str]) -> set[str]:
        response = await self.tracking.post("/events/held", json=HeldQuestion(ids=event_ids).model_dump())
        response.raise_for_status()
        return set(HeldAnswer.model_validate_json(response.content).held)

    async def _send_again(self, row: Row[Any]) -> None:
        """Raises QueueUnavailable. An event that this release can't read is left to the one that wrote it."""
        try:
            payload = PAYLOAD_OF[row.job].model_validate(row.payload)
        except (KeyError, ValidationError) as error:
            log.warning("outbox event is unreadable", event_id=row.event_id, job=row.job, error=type(error).__name__)
            return
        await self.tracking_queue.publish(row.job, payload, headers=row.trace)


def _error_of(turn: Row[Any]) -> TurnError | None:
    return GIVEN_UP if turn.stop_requested_at is None else None


def _note_end(turn: Row[Any]) -> None:
    if _error_of(turn) is None:
        log.info("turn is stopped without its worker", turn_id=turn.id, attempts=turn.attempt)
        return
    log.error("turn is given up", turn_id=turn.id, attempts=turn.attempt)
    with background_transaction("give up turn", headers=turn.trace):
        report_error(TurnGivenUp(f"{turn.attempt} workers in a row were lost"), turn_id=turn.id)
