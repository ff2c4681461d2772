"""Makes good what a crash, a flushed Redis or a tracking service that was away left behind. Runs in every worker.

| what it finds | what it does |
|---|---|
| a running turn whose lease has ended, with attempts left | queues it again and tells a worker |
| the same, without attempts left | ends it as failed, with the text so far |
| a queued turn that nobody was told of for a while | tells a worker |
| an outbox event that was sent a while ago | deletes it if tracking has it, sends it again if not |
"""

from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.publish_events import EventPublisher
from chat.running_turns import RunningTurn
from chat.settle_calls import settle_open_calls
from chat.stores import conversation_store, outbox_store, turn_store
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
from wire.ids import MessageId, TurnId
from wire.log import get_logger
from wire.queue import Queue, QueueUnavailable

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
    publisher: EventPublisher
    own_queue: Queue
    tracking_queue: Queue
    tracking: httpx.AsyncClient

    async def turns(self) -> None:
        """No turn stays running under a lease that has ended, none stays queued unheard.

        Raises:
            DatabaseUnavailable: nothing was swept.
        """
        async with self.database.transaction() as connection:
            expired = await turn_store.requeue_expired(connection)
            given_up = [await self._give_up(connection, row) for row in await turn_store.find_given_up(connection)]
            forgotten = await turn_store.forgotten_in_queue(connection, after_s=TELL_AGAIN_AFTER_S)
        for row in expired:
            log.warning("turn is queued again, its worker is gone", turn_id=row.id, attempt=row.attempt)
        for row in (*expired, *forgotten):
            await self._tell_a_worker(row)
        for row, length in given_up:
            await self._publish_given_up(row, length)

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
        for row in rows:
            if row.event_id not in held:
                await self._send_again(row)

    async def _held(self, event_ids: list[str]) -> set[str]:
        response = await self.tracking.post("/events/held", json=HeldQuestion(ids=event_ids).model_dump())
        response.raise_for_status()
        return set(HeldAnswer.model_validate_json(response.content).held)

    async def _send_again(self, row: Row[Any]) -> None:
        payload = PAYLOAD_OF[row.job].model_validate(row.payload)
        try:
            await self.tracking_queue.publish(row.job, payload, headers=row.trace)
        except QueueUnavailable:
            log.warning("redis is away, the outbox keeps the event", event_id=row.event_id)

    async def _tell_a_worker(self, row: Row[Any]) -> None:
        try:
            await self.own_queue.publish(REPLY, ReplyJob(turn_id=row.id), headers=row.trace)
        except QueueUnavailable:
            log.warning("redis is away, the turn waits", turn_id=row.id)

    async def _give_up(self, connection: AsyncConnection, row: Row[Any]) -> tuple[Row[Any], int]:
        await settle_open_calls(connection, row)
        ended = await turn_store.give_up(connection, TurnId(row.id), error=GIVEN_UP.model_dump())
        await conversation_store.insert_message(
            connection,
            MessageId(row.id),
            row.conversation_id,
            parent=row.person_message_id,
            role="assistant",
            text=row.partial_text,
            model=row.model,
        )
        log.error("turn is given up", turn_id=row.id, attempts=row.attempt)
        return ended, len(row.partial_text)

    async def _publish_given_up(self, row: Row[Any], length: int) -> None:
        turn = RunningTurn(TurnId(row.id), row.attempt)
        self.publisher.event(turn, "error", {**GIVEN_UP.model_dump(), "length": length})
        await self.publisher.end(turn)
