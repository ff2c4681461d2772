"""A turn is answered from its claim to its saved end, in this process, on real parts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from chat.accept_turn import Accepting, accept_turn
from chat.process_chat_message import Answering, process_chat_message
from chat.publish_events import EventPublisher
from parts.plans import CallTool, Finish, Garbage, Plan, Reason, Refuse, Say, plan, says
from parts.scripted_provider import ScriptedProvider
from wire.contracts.chat import AcceptedTurn, CompletionRequest, NewTurn
from wire.contracts.jobs import RECORD_USAGE
from wire.database import Database
from wire.ids import PersonId, TurnId, new_id
from wire.queue import Queue
from wire.queue_worker import TryLater
from wire.redis_keys import TRACKING_QUEUE
from wire.telemetry.spans import queue_process, trace_headers

Answer = Callable[..., Awaitable[AcceptedTurn]]


@pytest.fixture
def answer(answering: Answering, provider: ScriptedProvider, ask: Any, prompt: str) -> Answer:
    """Accepts a message, which the provider answers by these plans, and processes its turn."""

    async def answer(*plans: Plan, **fields: Any) -> AcceptedTurn:
        provider.on(prompt, *plans)
        accepted = await ask(prompt, **fields)
        await process_chat_message(answering, TurnId(accepted.id))
        return accepted

    return answer


async def answer_text(rows: Any, turn: AcceptedTurn) -> str:
    [text] = [m.text for m in await rows.messages(turn.conversation_id) if m.id == turn.id]
    return text


def deltas(entries: list[tuple[str, str, Any]]) -> str:
    return "".join(data["text"] for _, kind, data in entries if kind == "delta")


async def test_a_whole_answer_is_streamed_saved_counted_and_told_to_tracking(
    answer: Answer, provider: ScriptedProvider, rows: Any, keys: Any, prompt: str
) -> None:
    turn = await answer(plan(Say("Hello there, how are you?"), cached_tokens=2))
    [call] = provider.calls_for(prompt)
    row = await rows.turn(turn.id)
    usage = {
        "model": "alpha",
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": 5,
        "total_tokens": call.prompt_tokens + 5,
        "cached_tokens": 2,
        "reasoning_tokens": 0,
        "cost_usd": row.usage["cost_usd"],
        "source": "reported",
    }
    assert (row.state, row.attempt, row.finish_reason, row.usage) == ("complete", 1, "stop", usage)
    assert row.created_at <= row.started_at <= row.first_token_at <= row.ended_at
    assert await answer_text(rows, turn) == "Hello there, how are you?"
    entries = await keys.stream(turn.id)
    assert [entry_id for entry_id, _, _ in entries] == [f"1-{n}" for n in range(len(entries))]
    assert (entries[0][1], entries[0][2]["state"], entries[0][2]["message_id"]) == ("turn", "running", turn.id)
    assert deltas(entries) == "Hello there, how are you?"
    assert entries[-2:] == [
        (f"1-{len(entries) - 2}", "usage", usage),
        (f"1-{len(entries) - 1}", "end", {"state": "complete", "length": 25, "finish_reason": "stop"}),
    ]
    [settled] = await rows.calls(turn.id)
    assert (settled.state, settled.output_tokens) == ("complete", 5)
    [waiting] = await rows.outbox(turn.id)
    [(job, envelope)] = await keys.jobs(TRACKING_QUEUE, turn_id=turn.id)
    assert (job, envelope.payload) == (RECORD_USAGE, waiting.payload)
    assert envelope.payload["response_model"] == "alpha"


async def test_the_history_along_the_branch_is_what_the_provider_is_sent(
    answering: Answering, answer: Answer, provider: ScriptedProvider, ask: Any, prompt: str
) -> None:
    first = await answer(says("One"))
    following = await ask(f"{prompt} And?", conversation_id=first.conversation_id)
    await process_chat_message(answering, TurnId(following.id))
    [call] = provider.calls_for(f"{prompt} And?")
    assert call.messages == [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": "One"},
        {"role": "user", "content": f"{prompt} And?"},
    ]


async def test_a_completion_is_sent_as_its_caller_wrote_it(
    accepting: Accepting, answering: Answering, provider: ScriptedProvider, owner: PersonId, prompt: str
) -> None:
    messages = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": prompt}]
    request = CompletionRequest(messages=messages, parameters={"temperature": 0, "max_tokens": 2})
    provider.on(prompt, says("One two three"))
    accepted = await accept_turn(accepting, owner, NewTurn(text=prompt, model="beta", completion=request))
    await process_chat_message(answering, TurnId(accepted.id))
    [call] = provider.calls_for(prompt)
    assert (call.messages, call.body["temperature"], call.body["max_tokens"]) == (messages, 0, 2)


async def test_the_providers_finish_reason_is_told(answer: Answer, rows: Any, keys: Any) -> None:
    turn = await answer(plan(Say("Too long"), Finish("length")))
    assert (await rows.turn(turn.id)).finish_reason == "length"
    assert (await keys.stream(turn.id))[-1][2]["finish_reason"] == "length"


async def test_what_is_no_plain_text_is_streamed_and_kept_as_chunks(answer: Answer, rows: Any, keys: Any) -> None:
    turn = await answer(plan(Reason("Hm, well."), Say("Look:"), CallTool("call_1", "look", '{"at":"it"}')))
    row = await rows.turn(turn.id)
    assert [chunk["delta"] for chunk in row.chunks][:2] == [
        {"reasoning_content": "Hm,"},
        {"reasoning_content": " well."},
    ]
    assert [chunk["delta"]["tool_calls"][0]["function"]["arguments"] for chunk in row.chunks[2:]] == [
        '{"at"',
        ':"it"}',
    ]
    assert [data for _, kind, data in await keys.stream(turn.id) if kind == "chunk"] == row.chunks
    assert (row.finish_reason, row.usage["reasoning_tokens"]) == ("tool_calls", 2)


async def test_astral_characters_and_nul_in_texts_and_chunks_are_no_trouble(
    answer: Answer, rows: Any, keys: Any
) -> None:
    text = "\U0001f468\u200d\U0001f469 a\x00b \u2028 \U0001d518\x00"
    turn = await answer(plan(Reason("c\x00d"), CallTool("call\x00_1", "look", '{"a\x00": "\x00"}'), Say(text)))
    row = await rows.turn(turn.id)
    kept = text.replace("\x00", "")
    assert (row.state, await answer_text(rows, turn)) == ("complete", kept)
    assert row.chunks[0] == {"delta": {"reasoning_content": "cd"}}
    assert row.chunks[1]["delta"]["tool_calls"][0]["id"] == "call_1"
    entries = await keys.stream(turn.id)
    assert deltas(entries) == kept
    assert entries[-1][2]["length"] == len(kept)


async def test_an_answer_of_a_hundred_thousand_characters_arrives_whole(answer: Answer, rows: Any, keys: Any) -> None:
    text = " ".join(f"{n:09d}" for n in range(10_000)) + "!"
    turn = await answer(says(text))
    assert len(text) == 100_000
    assert await answer_text(rows, turn) == text
    entries = await keys.stream(turn.id)
    assert deltas(entries) == text
    assert entries[-1][2]["length"] == 100_000


async def test_an_empty_answer_is_an_answer(answer: Answer, rows: Any, keys: Any) -> None:
    turn = await answer(plan(Finish("stop")))
    assert (await rows.turn(turn.id)).state == "complete"
    assert (await keys.stream(turn.id))[-1][2] == {"state": "complete", "length": 0, "finish_reason": "stop"}


async def test_a_usage_that_is_not_reported_is_estimated(answer: Answer, rows: Any) -> None:
    turn = await answer(Plan((Reason("x" * 8), Say("y" * 8)), reports_usage=False))
    usage = (await rows.turn(turn.id)).usage
    assert (usage["source"], usage["completion_tokens"]) == ("estimated", 4)


async def test_a_turn_is_answered_once_however_often_a_worker_is_told(
    answering: Answering, answer: Answer, provider: ScriptedProvider, prompt: str
) -> None:
    turn = await answer(says("Once"))
    await asyncio.gather(*(process_chat_message(answering, TurnId(turn.id)) for _ in range(3)))
    assert len(provider.calls_for(prompt)) == 1


async def test_an_unknown_turn_is_nothing_to_do(answering: Answering) -> None:
    await process_chat_message(answering, TurnId(new_id()))


@pytest.mark.parametrize("status", [500, 429])
async def test_a_failure_before_a_word_is_tried_again_with_a_call_of_its_own(
    answer: Answer, rows: Any, keys: Any, status: int
) -> None:
    turn = await answer(plan(Refuse(status)), says("The second time"))
    assert (await rows.turn(turn.id)).state == "complete"
    assert [(call.id, call.state) for call in await rows.calls(turn.id)] == [
        (f"{turn.id}:1:1", "failed"),
        (f"{turn.id}:1:2", "complete"),
    ]
    assert {event.event_id for event in await rows.outbox(turn.id)} == {f"{turn.id}:1:1", f"{turn.id}:1:2"}
    assert len(await keys.jobs(TRACKING_QUEUE, turn_id=turn.id)) == 2
    assert deltas(await keys.stream(turn.id)) == "The second time"


@pytest.mark.parametrize(
    ("steps", "model", "code", "calls"),
    [
        (plan(Refuse(500)), "alpha", "provider_failed", 2),
        (plan(Refuse(429)), "alpha", "provider_refused", 2),
        (plan(Refuse(400)), "alpha", "provider_refused", 1),
        (plan(Refuse(401)), "alpha", "provider_refused", 1),
        (plan(Garbage("data: {")), "once", "provider_garbled", 1),
        (plan(), "unreachable", "provider_unreachable", 1),
    ],
    ids=lambda value: f"{value!s:.30}",
)
async def test_a_failure_ends_the_turn_with_a_sentence(
    answer: Answer, rows: Any, keys: Any, steps: Plan, model: str, code: str, calls: int
) -> None:
    turn = await answer(steps, model=model)
    row = await rows.turn(turn.id)
    assert (row.state, row.error["code"], row.finish_reason) == ("failed", code, None)
    assert [call.state for call in await rows.calls(turn.id)] == ["failed"] * calls
    _, kind, data = (await keys.stream(turn.id))[-1]
    assert (kind, data) == ("error", {**row.error, "length": 0})
    assert await answer_text(rows, turn) == ""


async def test_an_answer_that_is_cut_keeps_its_text_and_is_not_asked_for_again(
    answer: Answer, rows: Any, keys: Any, provider: ScriptedProvider, prompt: str
) -> None:
    turn = await answer(plan(Say("So far, so good"), Refuse(500)))
    row = await rows.turn(turn.id)
    assert (row.state, row.error["code"], await answer_text(rows, turn)) == (
        "failed",
        "provider_failed",
        "So far, so good",
    )
    assert [(call.state, call.token_source) for call in await rows.calls(turn.id)] == [("cut", "estimated")]
    assert len(provider.calls_for(prompt)) == 1
    entries = await keys.stream(turn.id)
    assert (deltas(entries), entries[-1][1], entries[-1][2]["length"]) == ("So far, so good", "error", 15)


async def test_a_model_that_is_gone_ends_the_turn_without_a_call(
    answering: Answering, ask: Any, rows: Any, keys: Any
) -> None:
    accepted = await ask("Hi")
    await rows.change("UPDATE turns SET model = 'gone' WHERE id = :id", id=accepted.id)
    await process_chat_message(answering, TurnId(accepted.id))
    row = await rows.turn(accepted.id)
    assert (row.state, row.error["code"], row.usage) == ("failed", "unknown_model", None)
    assert [kind for _, kind, _ in await keys.stream(accepted.id)] == ["turn", "error"]
    assert await rows.outbox(accepted.id) == []


@pytest.fixture
def run_job(answering: Answering) -> Any:
    """Processes a turn inside its job, as the queue does."""

    async def run_job(turn: str) -> None:
        with queue_process(
            "chat", "reply", headers=trace_headers(), message_id="1", retries=0, enqueued_at=0.0, body_size=0
        ):
            await process_chat_message(answering, TurnId(turn))

    return run_job


@pytest.mark.parametrize(
    ("steps", "model", "reported"),
    [
        (plan(Refuse(500)), "alpha", ["ProviderFailed"]),
        (plan(Say("So"), Refuse(500)), "alpha", ["ProviderFailed"]),
        (plan(), "unreachable", ["ProviderUnreachable"]),
        (plan(Refuse(401)), "alpha", ["ProviderRefused"]),
        (plan(Refuse(400)), "alpha", []),
        (plan(Refuse(429)), "alpha", []),
        (plan(Refuse(500)), "recovers", []),
        (says("Fine"), "alpha", []),
    ],
    ids=lambda value: f"{value!s:.30}",
)
async def test_a_failure_that_is_worth_it_is_reported_once_in_the_trace_of_the_turn(
    sentry: Any,
    provider: ScriptedProvider,
    ask: Any,
    run_job: Any,
    prompt: str,
    steps: Plan,
    model: str,
    reported: list[str],
) -> None:
    if model == "recovers":
        provider.on(prompt, steps, says("Fine"))
        model = "alpha"
    else:
        provider.on(prompt, steps)
    accepted = await ask(prompt, model=model)
    await run_job(accepted.id)
    [transaction] = sentry.transactions("reply")
    trace_id = transaction["contexts"]["trace"]["trace_id"]
    assert sentry.errors() == [(trace_id, kind) for kind in reported]
    spans = [span for span in transaction["spans"] if span["op"] == "gen_ai.chat"]
    assert len(spans) == len(provider.calls_for(prompt)) + (model == "unreachable")


async def test_without_redis_the_answer_is_saved_all_the_same(
    answering: Answering,
    provider: ScriptedProvider,
    ask: Any,
    rows: Any,
    queue_away: Queue,
    redis_away: Any,
    prompt: str,
) -> None:
    provider.on(prompt, says("All the same"))
    accepted = await ask(prompt)
    tools = replace(answering, publisher=EventPublisher(redis_away), own_queue=queue_away, tracking_queue=queue_away)
    await process_chat_message(tools, TurnId(accepted.id))
    assert ((await rows.turn(accepted.id)).state, await answer_text(rows, accepted)) == ("complete", "All the same")
    assert len(await rows.outbox(accepted.id)) == 1


async def test_without_the_database_the_job_is_tried_later(
    answering: Answering, ask: Any, rows: Any, database_by_relay: Database, postgres_relay: Any
) -> None:
    accepted = await ask("Hi")
    await postgres_relay.cut()
    with pytest.raises(TryLater):
        await process_chat_message(replace(answering, database=database_by_relay), TurnId(accepted.id))
    assert (await rows.turn(accepted.id)).state == "queued"
