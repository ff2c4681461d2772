"""Reports are sums over a person's own rows; money is summed where it is known."""

from datetime import UTC, datetime
from typing import Any

from tracking.record_usage import record_usage
from tracking.usage_calls import Period
from tracking.usage_report import get_model_usage_by_session, usage_report
from wire.contracts.jobs import UsageEvent
from wire.contracts.money import Price
from wire.contracts.tracking import ModelUsage, SessionUsage, UsageReport, UsageRow, UsageTotal
from wire.database import Database
from wire.ids import ConversationId, PersonId, new_id

NOTHING = UsageTotal(
    calls=0,
    prompt_tokens=0,
    completion_tokens=0,
    total_tokens=0,
    cached_tokens=0,
    reasoning_tokens=0,
    cost_usd=None,
    unpriced_calls=0,
)
ONE_CALL: dict[str, Any] = {
    "calls": 1,
    "prompt_tokens": 100,
    "completion_tokens": 10,
    "total_tokens": 110,
    "cached_tokens": 20,
    "reasoning_tokens": 0,
    "cost_usd": "0.0000195",
    "unpriced_calls": 0,
}
ALWAYS = Period()


async def record(database: Database, *calls: UsageEvent) -> None:
    for call in calls:
        await record_usage(database, call)


async def test_a_report_by_model_has_a_row_a_model_and_the_sum_of_all(
    database: Database, call: Any, person: PersonId
) -> None:
    await record(
        database,
        call(),
        call(reasoning_tokens=4),
        call(model="beta", price=None, input_tokens=7, cached_tokens=0, output_tokens=3),
    )

    report = await usage_report(database, person, group_by="model", period=ALWAYS)

    assert report == UsageReport(
        rows=[
            UsageRow(
                model="alpha",
                calls=2,
                prompt_tokens=200,
                completion_tokens=20,
                total_tokens=220,
                cached_tokens=40,
                reasoning_tokens=4,
                cost_usd="0.000039",
                unpriced_calls=0,
            ),
            UsageRow(
                model="beta",
                calls=1,
                prompt_tokens=7,
                completion_tokens=3,
                total_tokens=10,
                cached_tokens=0,
                reasoning_tokens=0,
                cost_usd=None,
                unpriced_calls=1,
            ),
        ],
        total=UsageTotal(
            calls=3,
            prompt_tokens=207,
            completion_tokens=23,
            total_tokens=230,
            cached_tokens=40,
            reasoning_tokens=4,
            cost_usd="0.000039",
            unpriced_calls=1,
        ),
    )


async def test_a_report_over_nothing_is_empty_and_its_money_unknown(database: Database, person: PersonId) -> None:
    assert await usage_report(database, person, group_by="model", period=ALWAYS) == UsageReport(rows=[], total=NOTHING)


async def test_a_report_by_day_groups_by_the_day_in_utc(database: Database, call: Any, person: PersonId) -> None:
    await record(
        database,
        call(started_at=datetime.fromisoformat("2026-11-24T01:30:00+02:00")),
        call(started_at=datetime(2026, 11, 24, 0, 0, tzinfo=UTC)),
    )

    report = await usage_report(database, person, group_by="day", period=ALWAYS)

    assert report.rows == [UsageRow(day="2026-11-23", **ONE_CALL), UsageRow(day="2026-11-24", **ONE_CALL)]


async def test_a_report_by_conversation_has_a_row_a_conversation(
    database: Database, call: Any, person: PersonId
) -> None:
    first, second = sorted([new_id(), new_id()])
    await record(database, call(session_id=second), call(session_id=first))

    report = await usage_report(database, person, group_by="conversation", period=ALWAYS)

    assert report.rows == [UsageRow(conversation_id=first, **ONE_CALL), UsageRow(conversation_id=second, **ONE_CALL)]


async def test_a_report_by_person_shows_nobody_but_the_caller(database: Database, call: Any, person: PersonId) -> None:
    await record(database, call(), call(owner_id=new_id()))

    report = await usage_report(database, person, group_by="person", period=ALWAYS)

    assert report == UsageReport(rows=[UsageRow(person_id=person, **ONE_CALL)], total=UsageTotal(**ONE_CALL))


async def test_a_period_includes_its_beginning_and_not_its_end(database: Database, call: Any, person: PersonId) -> None:
    eight, nine = datetime(2026, 11, 24, 8, tzinfo=UTC), datetime(2026, 11, 24, 9, tzinfo=UTC)
    await record(database, call(started_at=eight), call(started_at=nine))

    report = await usage_report(database, person, group_by="model", period=Period(start=eight, end=nine))

    assert report.total == UsageTotal(**ONE_CALL)


async def test_sums_of_money_lose_no_digit(database: Database, call: Any, person: PersonId) -> None:
    price = Price.model_validate({"input": "1234567.89", "output": "0.000000000000001"})
    await record(
        database,
        call(price=price, input_tokens=1_000_000_000, cached_tokens=0, output_tokens=0),
        call(price=price, input_tokens=0, cached_tokens=0, output_tokens=1),
    )

    report = await usage_report(database, person, group_by="model", period=ALWAYS)

    assert report.total.cost_usd == "1234567890.000000000000000000001"


async def test_a_conversations_account_sums_its_models(
    database: Database, call: Any, person: PersonId, session: str
) -> None:
    await record(database, call(), call(session_id=new_id()))

    account = await get_model_usage_by_session(database, person, ConversationId(session))

    assert account == SessionUsage(
        session_id=session, models=[ModelUsage(model="alpha", **ONE_CALL)], switches=[], total=UsageTotal(**ONE_CALL)
    )


async def test_a_strangers_conversation_has_the_account_of_an_unknown_one(
    database: Database, call: Any, session: str
) -> None:
    await record(database, call())

    account = await get_model_usage_by_session(database, PersonId(new_id()), ConversationId(session))

    assert account == SessionUsage(session_id=session, models=[], switches=[], total=NOTHING)
