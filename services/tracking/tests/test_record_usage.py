"""One row a provider call, counted once, priced exactly."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from tracking.record_usage import cost_usd, record_usage
from tracking.tables import usage_calls
from wire.contracts.jobs import UsageEvent
from wire.contracts.money import Price
from wire.database import Database


async def row_of(database: Database, event_id: str) -> dict[str, Any]:
    async with database.transaction() as connection:
        found = await connection.execute(select(usage_calls).where(usage_calls.c.event_id == event_id))
        return dict(found.mappings().one())


async def test_a_call_is_recorded_with_all_that_its_event_says_and_its_cost(database: Database, call: Any) -> None:
    event: UsageEvent = call(
        purpose="title",
        state="stopped",
        response_model="alpha-2026-11",
        reasoning_tokens=4,
        token_source="estimated",
        time_to_first_token_ms=120,
        duration_ms=2000,
        queue_wait_ms=3,
        finish_reason="stop",
        error_class="Timeout",
        trace_id="0" * 31 + "1",
        origin="v1",
    )

    await record_usage(database, event)

    row = await row_of(database, event.event_id)
    assert isinstance(row.pop("received_at"), datetime)
    assert row == {
        "event_id": event.event_id,
        "turn_id": event.turn_id,
        "session_id": event.session_id,
        "owner_id": event.owner_id,
        "attempt": 1,
        "call": 0,
        "purpose": "title",
        "state": "stopped",
        "model": "alpha",
        "response_model": "alpha-2026-11",
        "provider": "scripted",
        "input_tokens": 100,
        "cached_tokens": 20,
        "output_tokens": 10,
        "reasoning_tokens": 4,
        "token_source": "estimated",
        "price_input": Decimal("0.15"),
        "price_cached_input": Decimal("0.075"),
        "price_output": Decimal("0.60"),
        "price_version": "models.toml",
        "cost_usd": Decimal("0.0000195"),
        "time_to_first_token_ms": 120,
        "duration_ms": 2000,
        "queue_wait_ms": 3,
        "finish_reason": "stop",
        "error_class": "Timeout",
        "trace_id": "0" * 31 + "1",
        "origin": "v1",
        "started_at": event.started_at,
        "ended_at": event.ended_at,
    }


async def test_a_call_that_comes_twice_is_counted_once(database: Database, call: Any) -> None:
    event: UsageEvent = call()
    await record_usage(database, event)
    before = await row_of(database, event.event_id)

    await record_usage(database, event)

    assert await row_of(database, event.event_id) == before


async def test_a_row_never_changes(database: Database, call: Any) -> None:
    event: UsageEvent = call()
    await record_usage(database, event)
    before = await row_of(database, event.event_id)

    await record_usage(database, event.model_copy(update={"output_tokens": 99, "model": "beta"}))

    assert await row_of(database, event.event_id) == before


async def test_an_unknown_price_leaves_the_cost_unknown(database: Database, call: Any) -> None:
    event: UsageEvent = call(price=None)

    await record_usage(database, event)

    row = await row_of(database, event.event_id)
    assert {name: row[name] for name in row if name.startswith("price_") or name == "cost_usd"} == {
        "price_input": None,
        "price_cached_input": None,
        "price_output": None,
        "price_version": None,
        "cost_usd": None,
    }


async def test_a_price_of_zero_is_a_known_cost_of_zero(database: Database, call: Any) -> None:
    event: UsageEvent = call(price=Price(input=Decimal(0), output=Decimal(0)))

    await record_usage(database, event)

    assert (await row_of(database, event.event_id))["cost_usd"] == Decimal(0)


async def test_the_cost_keeps_every_digit_in_the_database(database: Database, call: Any) -> None:
    price = Price(input=Decimal("0.123456789"), output=Decimal("987.654321"))
    event: UsageEvent = call(price=price, input_tokens=123_456_789, cached_tokens=0, output_tokens=987_654_321)

    await record_usage(database, event)

    assert (await row_of(database, event.event_id))["cost_usd"] == Decimal("975476.299368721231521") == cost_usd(event)
