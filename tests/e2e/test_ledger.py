"""Each provider call is counted once and exactly, and each switch in both its phases."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from e2e.hopline import Hopline
from e2e.models import DEFAULT, OTHER, RETRYING
from e2e.person import Person
from parts.plans import Break, Refuse, Say, plan, says
from parts.provider_answer import Call
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until

PRICES = {
    DEFAULT: (Decimal("0.15"), Decimal("0.075"), Decimal("0.60")),
    OTHER: (Decimal("2.50"), Decimal("2.50"), Decimal("10.00")),
}
COUNTS = ("calls", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


def counted_by_the_provider(calls: list[Call]) -> dict[str, Any]:
    """What the ledger must say of these calls, reckoned from the provider's own log."""
    return {
        "calls": len(calls),
        "prompt_tokens": sum(call.prompt_tokens for call in calls),
        "completion_tokens": sum(call.completion_tokens for call in calls),
        "total_tokens": sum(call.prompt_tokens + call.completion_tokens for call in calls),
        "cached_tokens": sum(call.cached_tokens for call in calls),
        "reasoning_tokens": sum(call.reasoning_tokens for call in calls),
        "cost_usd": sum((cost_of(call) for call in calls), Decimal(0)),
    }


def cost_of(call: Call) -> Decimal:
    paid, cached, output = PRICES[call.model]
    tokens = (call.prompt_tokens - call.cached_tokens, call.cached_tokens, call.completion_tokens)
    return sum((price * count for price, count in zip((paid, cached, output), tokens, strict=True)), Decimal(0)) / 10**6


def counts_of(row: dict[str, Any]) -> dict[str, Any]:
    return {**{name: row[name] for name in COUNTS}, "cost_usd": Decimal(row["cost_usd"])}


async def test_the_ledger_equals_the_providers_log(hopline: Hopline, prompt: str) -> None:
    async with hopline.client(Authorization=f"Bearer {hopline.add_person(prompt)}") as http:
        person = Person(http, prompt)
        prompts = [f"{prompt} {number}" for number in range(4)]
        hopline.provider.on(prompts[0], says("One short answer"))
        hopline.provider.on(prompts[1], plan(Say("One that was cached in part"), cached_tokens=5))
        hopline.provider.on(prompts[2], says("The other model"))
        hopline.provider.on(prompts[3], says("Another conversation altogether"))
        first, second = await person.new_conversation(), await person.new_conversation(OTHER)
        await person.answer(first, prompts[0])
        await person.answer(first, prompts[1])
        await person.answer(first, prompts[2], model=OTHER)
        await person.answer(second, prompts[3])
        calls = [call for asked in prompts for call in hopline.provider.calls_for(asked)]
        assert len(calls) == 4

        async def report() -> dict[str, Any] | None:
            found = (await http.get("/api/usage", params={"group_by": "model"})).json()
            return found if found["total"]["calls"] == 4 else None

        by_model = await until(report, "four calls are counted")
        by_conversation = (await http.get("/api/usage", params={"group_by": "conversation"})).json()
        usage = await person.usage(first)

    groups: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        groups[call.model].append(call)
    assert {row["model"]: counts_of(row) for row in by_model["rows"]} == {
        model: counted_by_the_provider(group) for model, group in groups.items()
    }
    assert counts_of(by_model["total"]) == counted_by_the_provider(calls)
    assert {row["conversation_id"]: counts_of(row) for row in by_conversation["rows"]} == {
        first: counted_by_the_provider(calls[:3]),
        second: counted_by_the_provider(calls[3:]),
    }
    assert {row["model"]: counts_of(row) for row in usage["models"]} == {
        DEFAULT: counted_by_the_provider(calls[:2]),
        OTHER: counted_by_the_provider(calls[2:3]),
    }
    assert usage["session_id"] == first
    assert counts_of(usage["total"]) == counted_by_the_provider(calls[:3])


async def test_a_call_that_fails_and_the_one_that_follows_are_two_rows(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    provider.on(prompt, plan(Refuse(500)), says("The second time it went"))
    conversation = await ada.new_conversation(RETRYING)
    answer = await ada.answer(conversation, prompt)
    usage = await ada.counted(conversation, 2)
    [failed, well] = provider.calls_for(prompt)
    assert answer.text == "The second time it went"
    assert (failed.outcome, well.outcome) == ("refused", "complete")
    assert {name: usage["total"][name] for name in COUNTS} == {
        "calls": 2,
        "prompt_tokens": well.prompt_tokens,
        "completion_tokens": well.completion_tokens,
        "total_tokens": well.prompt_tokens + well.completion_tokens,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
    }
    assert (usage["total"]["cost_usd"], usage["total"]["unpriced_calls"]) == (None, 2)


async def test_a_call_that_broke_off_is_counted_as_an_estimate(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    provider.on(prompt, plan(Say("These words have been said already"), Break()))
    conversation = await ada.new_conversation()
    answer = await ada.answer(conversation, prompt)
    usage = await ada.counted(conversation, 1)
    assert answer.turn is not None
    turn = await ada.turn(answer.turn["turn_id"])
    assert (turn["state"], turn["usage"]["source"]) == ("failed", "estimated")
    assert usage["total"]["completion_tokens"] > 0


async def test_a_switch_is_started_when_it_is_made_and_completed_by_the_first_answer(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation(DEFAULT)
    await ada.answer(conversation, prompt)
    await ada.counted(conversation, 1)
    response = await ada.switch(conversation, OTHER)
    switch = response.json()
    assert response.status_code == 200
    assert (switch["from_model"], switch["to_model"]) == (DEFAULT, OTHER)
    assert switch["estimate"]["context_tokens"] > 0
    assert Decimal(switch["estimate"]["cost_usd"]) > 0
    assert (await ada.conversation(conversation))["model"] == OTHER

    [started] = (await ada.usage(conversation))["switches"]
    assert (started["tracking_id"], started["state"]) == (switch["tracking_id"], "started")
    assert (started["completed_at"], started["turn_id"]) == (None, None)

    answer = await ada.answer(conversation, f"{prompt} Now?")
    completed = await ended_switch(ada, conversation)
    assert answer.turn is not None
    assert answer.turn["model"] == OTHER
    assert (completed["tracking_id"], completed["state"]) == (switch["tracking_id"], "completed")
    assert completed["turn_id"] == answer.turn["turn_id"]
    assert completed["started_at"] == started["started_at"]


async def test_a_switch_to_a_model_that_fails_is_recorded_as_failed(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation(DEFAULT)
    await ada.switch(conversation, "unreachable")
    await ada.answer(conversation, prompt)
    assert (await ended_switch(ada, conversation))["state"] == "failed"


async def test_a_message_that_names_another_model_is_a_switch_too(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation(DEFAULT)
    await ada.answer(conversation, prompt)
    await ada.answer(conversation, f"{prompt} And you?", model=OTHER)
    switch = await ended_switch(ada, conversation)
    assert (switch["from_model"], switch["to_model"], switch["state"]) == (DEFAULT, OTHER, "completed")


async def ended_switch(person: Person, conversation: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        ended = [s for s in (await person.usage(conversation))["switches"] if s["completed_at"] is not None]
        return ended[0] if ended else None

    return await until(found, "the switch has ended")


async def test_usage_is_ones_own(ada: Person, ben: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    await ada.answer(conversation, prompt)
    await ada.counted(conversation, 1)
    report = (await ben.http.get("/api/usage", params={"group_by": "conversation"})).json()
    assert conversation not in {row["conversation_id"] for row in report["rows"]}
