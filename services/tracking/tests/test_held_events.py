"""A sweep learns which of its events have arrived."""

from typing import Any

from tracking.held_events import held_events
from tracking.record_usage import record_usage
from tracking.track_model_switch import complete_model_switch, track_model_switch
from wire.contracts.jobs import SwitchCompleted, SwitchStarted, switch_completed_event_id, switch_started_event_id
from wire.database import Database
from wire.ids import ConversationId, PersonId, SwitchId


async def test_recorded_calls_are_held_and_others_are_not(database: Database, call: Any) -> None:
    first, second, missing = call(), call(), call()
    await record_usage(database, first)
    await record_usage(database, second)

    held = await held_events(database, [second.event_id, missing.event_id, "no event at all", first.event_id])

    assert held == [second.event_id, first.event_id]


async def test_of_a_started_switch_the_start_is_held(database: Database, switch: Any) -> None:
    start: SwitchStarted = switch()[0]
    await track_model_switch(
        database,
        ConversationId(start.session_id),
        start.from_model,
        start.to_model,
        SwitchId(start.tracking_id),
        owner=PersonId(start.owner_id),
    )
    ids = [switch_started_event_id(start.tracking_id), switch_completed_event_id(start.tracking_id)]

    assert await held_events(database, ids) == [switch_started_event_id(start.tracking_id)]


async def test_of_a_switch_that_only_ended_the_start_is_still_to_come(database: Database, switch: Any) -> None:
    end: SwitchCompleted = switch()[1]
    await complete_model_switch(database, end)
    ids = [switch_started_event_id(end.tracking_id), switch_completed_event_id(end.tracking_id)]

    assert await held_events(database, ids) == [switch_completed_event_id(end.tracking_id)]


async def test_nothing_is_held_of_nothing(database: Database) -> None:
    assert await held_events(database, []) == []
