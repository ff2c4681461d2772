"""A switch has two halves that may come in any order, each more than once: the record ends the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select

from tracking.errors import SwitchConflict
from tracking.record_usage import record_usage
from tracking.tables import model_switches
from tracking.track_model_switch import complete_model_switch, switch_estimate, track_model_switch
from tracking.usage_report import get_model_usage_by_session
from wire.contracts.jobs import SwitchCompleted, SwitchStarted, UsageEvent
from wire.contracts.money import Price
from wire.contracts.tracking import SwitchEstimate, SwitchRecord
from wire.database import Database
from wire.ids import ConversationId, PersonId, SwitchId, new_id

Halves = Callable[[], tuple[SwitchStarted, SwitchCompleted]]
PRICE = Price.model_validate({"input": "2", "cached_input": "0.5", "output": "8"})


async def take(database: Database, half: SwitchStarted | SwitchCompleted) -> None:
    if isinstance(half, SwitchCompleted):
        return await complete_model_switch(database, half)
    await track_model_switch(
        database,
        ConversationId(half.session_id),
        half.from_model,
        half.to_model,
        SwitchId(half.tracking_id),
        half.metadata,
        owner=PersonId(half.owner_id),
        reason=half.reason,
        started_at=half.started_at,
    )


async def row_of(database: Database, tracking_id: str) -> dict[str, Any]:
    async with database.transaction() as connection:
        found = await connection.execute(select(model_switches).where(model_switches.c.tracking_id == tracking_id))
        return dict(found.mappings().one())


async def test_a_switch_that_has_started_has_no_end_yet(database: Database, switch: Halves) -> None:
    start, _ = switch()

    await take(database, start)

    row = await row_of(database, start.tracking_id)
    assert isinstance(row.pop("start_received_at"), datetime)
    assert row == {
        "tracking_id": start.tracking_id,
        "session_id": start.session_id,
        "owner_id": start.owner_id,
        "from_model": "alpha",
        "to_model": "beta",
        "reason": "user",
        "state": "started",
        "started_at": start.started_at,
        "completed_at": None,
        "turn_id": None,
        "metadata": {"asked_by": "picker"},
        "end_received_at": None,
    }


@pytest.mark.parametrize("order", sorted(set(permutations(["start", "start", "end", "end"]))), ids="-".join)
async def test_a_record_ends_the_same_in_any_order_of_arrival(
    database: Database, switch: Halves, order: tuple[str, ...]
) -> None:
    start, end = switch()

    for half in order:
        await take(database, start if half == "start" else end)

    row = await row_of(database, start.tracking_id)
    assert isinstance(row.pop("start_received_at"), datetime)
    assert isinstance(row.pop("end_received_at"), datetime)
    assert row == {
        "tracking_id": start.tracking_id,
        "session_id": start.session_id,
        "owner_id": start.owner_id,
        "from_model": "alpha",
        "to_model": "beta",
        "reason": "user",
        "state": "completed",
        "started_at": start.started_at,
        "completed_at": end.completed_at,
        "turn_id": end.turn_id,
        "metadata": {"asked_by": "picker"},
    }


async def test_a_completion_without_its_start_tells_of_the_start_too(database: Database, switch: Halves) -> None:
    _, end = switch()

    await take(database, end)

    account = await get_model_usage_by_session(database, PersonId(end.owner_id), ConversationId(end.session_id))
    assert account.switches == [
        SwitchRecord(
            tracking_id=end.tracking_id,
            from_model="alpha",
            to_model="beta",
            reason="user",
            state="completed",
            started_at=end.started_at,
            completed_at=end.completed_at,
            turn_id=end.turn_id,
        )
    ]


async def test_a_switch_whose_turn_failed_has_failed(database: Database, switch: Halves) -> None:
    start, end = switch()
    await take(database, start)

    await take(database, end.model_copy(update={"outcome": "failed"}))

    assert (await row_of(database, start.tracking_id))["state"] == "failed"


async def test_the_first_outcome_stays(database: Database, switch: Halves) -> None:
    _, end = switch()
    await take(database, end)
    before = await row_of(database, end.tracking_id)

    later = end.completed_at + timedelta(minutes=1)
    await take(database, end.model_copy(update={"outcome": "failed", "turn_id": new_id(), "completed_at": later}))

    assert await row_of(database, end.tracking_id) == before


async def test_a_switch_without_an_id_gets_one(database: Database, person: PersonId, session: str) -> None:
    before = datetime.now(UTC)

    tracking_id = await track_model_switch(database, ConversationId(session), "alpha", "beta", owner=person)

    row = await row_of(database, tracking_id)
    assert before <= row["started_at"] <= datetime.now(UTC)
    assert row["metadata"] == {}


@pytest.mark.parametrize(
    "other", ["session_id", "owner_id", "from_model", "to_model", "reason", "metadata"], ids=lambda field: field
)
async def test_an_id_of_another_switch_is_refused_and_changes_nothing(
    database: Database, switch: Halves, other: str
) -> None:
    start, _ = switch()
    await take(database, start)
    before = await row_of(database, start.tracking_id)
    value: Any = {"reason": "budget", "metadata": {"asked_by": "somebody else"}}.get(other, new_id())

    with pytest.raises(SwitchConflict):
        await take(database, start.model_copy(update={other: value}))

    assert await row_of(database, start.tracking_id) == before


async def test_a_completion_of_another_persons_switch_is_refused_and_changes_nothing(
    database: Database, switch: Halves
) -> None:
    start, end = switch()
    await take(database, start)
    before = await row_of(database, start.tracking_id)

    with pytest.raises(SwitchConflict):
        await take(database, end.model_copy(update={"owner_id": new_id()}))

    assert await row_of(database, start.tracking_id) == before


async def record(database: Database, *calls: UsageEvent) -> None:
    for call in calls:
        await record_usage(database, call)


async def test_an_estimate_says_what_the_new_model_reads_again(
    database: Database, call: Any, person: PersonId, session: str
) -> None:
    latest = datetime(2026, 11, 24, 13, tzinfo=UTC)
    await record(
        database,
        call(input_tokens=1_000, output_tokens=234, started_at=latest),
        call(input_tokens=10, output_tokens=2),
        call(input_tokens=5, output_tokens=5, purpose="title", started_at=latest + timedelta(minutes=1)),
        call(input_tokens=0, output_tokens=0, state="failed", started_at=latest + timedelta(minutes=2)),
    )

    estimate = await switch_estimate(database, person, ConversationId(session), to_price=PRICE)

    assert estimate == SwitchEstimate(context_tokens=1_234, cost_usd="0.002468")


async def test_an_estimate_before_the_first_answer_is_unknown(
    database: Database, person: PersonId, session: str
) -> None:
    estimate = await switch_estimate(database, person, ConversationId(session), to_price=PRICE)

    assert estimate == SwitchEstimate(context_tokens=None, cost_usd=None)


async def test_an_estimate_for_a_model_without_a_price_has_no_cost(
    database: Database, call: Any, person: PersonId, session: str
) -> None:
    await record(database, call(input_tokens=7, output_tokens=3))

    estimate = await switch_estimate(database, person, ConversationId(session), to_price=None)

    assert estimate == SwitchEstimate(context_tokens=10, cost_usd=None)


async def test_an_estimate_sees_no_other_persons_calls(database: Database, call: Any, session: str) -> None:
    await record(database, call())

    estimate = await switch_estimate(database, PersonId(new_id()), ConversationId(session), to_price=PRICE)

    assert estimate == SwitchEstimate(context_tokens=None, cost_usd=None)


async def test_a_start_that_comes_again_by_another_way_keeps_what_the_first_said(
    database: Database, switch: Halves
) -> None:
    start, _ = switch()
    await take(database, start)
    before = await row_of(database, start.tracking_id)

    await take(
        database, start.model_copy(update={"metadata": {}, "started_at": start.started_at + timedelta(seconds=3)})
    )

    assert await row_of(database, start.tracking_id) == before
