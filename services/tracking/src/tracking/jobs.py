"""The jobs of tracking's queue: each is one use case, done again later while the database is away."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from tracking.record_usage import record_usage
from tracking.track_model_switch import complete_model_switch, track_model_switch
from wire.contracts.jobs import (
    COMPLETE_MODEL_SWITCH,
    RECORD_USAGE,
    TRACK_MODEL_SWITCH,
    SwitchCompleted,
    SwitchStarted,
    UsageEvent,
)
from wire.database import Database, DatabaseUnavailable
from wire.ids import ConversationId, PersonId, SwitchId
from wire.queue_worker import Job, TryLater
from wire.telemetry.spans import set_person

DATABASE_AWAY_DELAY_S = 2.0
"""Between tries. After the last, the sender's sweep finds the event missing and sends it again."""


def ledger_jobs(database: Database) -> list[Job[Any]]:
    async def record(event: UsageEvent) -> None:
        with _for_person(event.owner_id):
            await record_usage(database, event)

    async def start(switch: SwitchStarted) -> None:
        with _for_person(switch.owner_id):
            await track_model_switch(
                database,
                ConversationId(switch.session_id),
                switch.from_model,
                switch.to_model,
                SwitchId(switch.tracking_id),
                switch.metadata,
                owner=PersonId(switch.owner_id),
                reason=switch.reason,
                started_at=switch.started_at,
            )

    async def complete(switch: SwitchCompleted) -> None:
        with _for_person(switch.owner_id):
            await complete_model_switch(database, switch)

    return [
        Job(RECORD_USAGE, UsageEvent, record),
        Job(TRACK_MODEL_SWITCH, SwitchStarted, start),
        Job(COMPLETE_MODEL_SWITCH, SwitchCompleted, complete),
    ]


@contextmanager
def _for_person(person: str) -> Generator[None]:
    """Raises:
    TryLater: the database is away.
    """
    set_person(person)
    try:
        yield
    except DatabaseUnavailable as away:
        raise TryLater(DATABASE_AWAY_DELAY_S) from away
