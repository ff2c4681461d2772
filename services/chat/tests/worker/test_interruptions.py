"""What may happen in the middle of an answer: a stop, another attempt, the end of the process, an outage, a bug."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import sentry_sdk

from chat.claim_turn import claim_turn
from chat.conversations import delete_conversation
from chat.keep_leases import LeaseKeeper
from chat.process_chat_message import Answering, process_chat_message
from chat.publish_events import EventPublisher
from chat.running_turns import RunningTurn
from chat.stop_turn import stop_turn
from chat.sweep import Sweep
from parts.plans import Gate, Hang, Plan, Refuse, Say, Wait, plan, says, says_in_two_parts
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until
from wire.contracts.chat import AcceptedTurn
from wire.contracts.jobs import REPLY
from wire.database import Database
from wire.ids import ConversationId, PersonId, TurnId
from wire.redis_keys import CHAT_QUEUE, turn_stream
from wire.telemetry.spans import queue_process


class Midway:
    """An answer under way."""

    def __init__(self, answering: Answering, accepted: AcceptedTurn, task: "asyncio.Task[None]") -> None:
        self._answering = answering
        self.accepted = accepted
        self.id = TurnId(accepted.id)
        self.task = task

    @property
    def running(self) -> RunningTurn:
        turn = self._answering.turns.get(self.id)
        assert turn is not None
        return turn

    async def said(self, text: str) -> None:
        """The worker has received this text, and no more."""

        def has_it() -> bool:
            turn = self._answering.turns.get(self.id)
            return turn is not None and turn.text == text

        await until(has_it, f"{text!r} was said")


async def in_scopes_of_its_own(tools: Answering, turn: TurnId) -> None:
    """As the queue does: two answers at once would take one another's spans for their own."""
    with sentry_sdk.isolation_scope():
        await process_chat_message(tools, turn)


Begin = Callable[..., Awaitable[Midway]]


@pytest.fixture
async def begin(answering: Answering, provider: ScriptedProvider, ask: Any, prompt: str) -> AsyncIterator[Begin]:
    """Begins to answer a message, which the provider answers by these plans."""
    begun: list[Midway] = []

    async def begin(*plans: Plan, tools: Answering = answering, **fields: Any) -> Midway:
        provider.on(prompt, *plans)
        accepted = await ask(prompt, **fields)
        task = asyncio.create_task(in_scopes_of_its_own(tools, TurnId(accepted.id)))
        begun.append(Midway(answering, accepted, task))
        return begun[-1]

    yield begin
    for midway in begun:
        midway.task.cancel()
    await asyncio.gather(*(midway.task for midway in begun), return_exceptions=True)


async def answer_text(rows: Any, turn: AcceptedTurn) -> str:
    [text] = [m.text for m in await rows.messages(turn.conversation_id) if m.id == turn.id]
    return text


async def test_a_stop_in_mid_answer_keeps_what_was_said_and_stops_the_provider(
    begin: Begin, keeper: LeaseKeeper, provider: ScriptedProvider, rows: Any, keys: Any, prompt: str
) -> None:
    midway = await begin(plan(Say("Once upon a time"), Hang()))
    await midway.said("Once upon a time")
    keeper.stop(midway.id)
    await midway.task
    row = await rows.turn(midway.id)
    assert (row.state, row.finish_reason, row.error) == ("stopped", "stop", None)
    assert await answer_text(rows, midway.accepted) == "Once upon a time"
    assert [(c.state, c.output_tokens, c.token_source) for c in await rows.calls(midway.id)] == [
        ("stopped", 4, "estimated")
    ]
    assert (await keys.stream(midway.id))[-1][1:] == (
        "end",
        {"state": "stopped", "length": 16, "finish_reason": "stop"},
    )
    await until(lambda: provider.calls_for(prompt)[0].outcome == "abandoned", "the provider has noticed")


async def test_a_stop_before_a_word_was_said_stops_too(
    begin: Begin, keeper: LeaseKeeper, rows: Any, provider: ScriptedProvider, prompt: str
) -> None:
    midway = await begin(plan(Hang()))
    await until(lambda: provider.calls_for(prompt), "the provider was asked")
    keeper.stop(midway.id)
    await midway.task
    assert ((await rows.turn(midway.id)).state, await answer_text(rows, midway.accepted)) == ("stopped", "")


async def test_a_stop_while_a_failure_waits_to_be_tried_again_is_a_stop_and_no_failure(
    sentry: Any, begin: Begin, keeper: LeaseKeeper, rows: Any, keys: Any, provider: ScriptedProvider, prompt: str
) -> None:
    midway = await begin(plan(Refuse(500)), says("Never said"))
    await until(lambda: [call.outcome for call in provider.calls_for(prompt)] == ["refused"], "the call has failed")
    keeper.stop(midway.id)
    await midway.task
    row = await rows.turn(midway.id)
    assert (row.state, row.error, row.finish_reason) == ("stopped", None, "stop")
    assert (await keys.stream(midway.id))[-1][2] == {"state": "stopped", "length": 0, "finish_reason": "stop"}
    assert (len(provider.calls_for(prompt)), sentry.errors()) == (1, [])


async def test_a_lost_turn_saves_nothing_tells_nothing_and_stops_the_provider(
    begin: Begin, keeper: LeaseKeeper, provider: ScriptedProvider, rows: Any, keys: Any, prompt: str
) -> None:
    midway = await begin(plan(Say("Mine"), Hang()))
    await midway.said("Mine")
    await rows.change("UPDATE turns SET attempt = 2, worker = 'other' WHERE id = :id", id=midway.id)
    await keeper.renew()
    await midway.task
    row = await rows.turn(midway.id)
    assert (row.state, row.attempt, row.ended_at) == ("running", 2, None)
    assert len(await rows.messages(midway.accepted.conversation_id)) == 1
    assert [call.state for call in await rows.calls(midway.id)] == ["open"]  # the next claim settles it
    assert {kind for _, kind, _ in await keys.stream(midway.id)} <= {"turn", "delta"}
    await until(lambda: provider.calls_for(prompt)[0].outcome == "abandoned", "the provider has noticed")


async def test_a_turn_that_redis_says_is_lost_is_left(
    begin: Begin, answering: Answering, rows: Any, redis: Any, provider: ScriptedProvider, prompt: str
) -> None:
    gate = Gate()
    midway = await begin(plan(Say("Mine"), Wait(gate), Say(" still"), Hang()))
    await midway.said("Mine")
    await rows.change("UPDATE turns SET attempt = 2, worker = 'other' WHERE id = :id", id=midway.id)
    await EventPublisher(redis).begin(RunningTurn(midway.id, 2), "restart", {"attempt": 2, "offset": 0})
    gate.open()
    await midway.task
    assert (await rows.turn(midway.id)).attempt == 2
    await until(lambda: provider.calls_for(prompt)[0].outcome == "abandoned", "the provider has noticed")


async def test_a_call_is_not_tried_again_by_an_attempt_that_is_over(
    begin: Begin, rows: Any, provider: ScriptedProvider, prompt: str
) -> None:
    midway = await begin(plan(Refuse(500)), says("Never said"))
    await until(lambda: provider.calls_for(prompt), "the provider was asked")
    await rows.change("UPDATE turns SET attempt = 2, worker = 'other' WHERE id = :id", id=midway.id)
    await midway.task
    assert len(provider.calls_for(prompt)) == 1
    assert [call.id for call in await rows.calls(midway.id)] == [f"{midway.id}:1:1"]


async def test_a_process_that_ends_hands_its_turn_over_with_the_text_so_far(begin: Begin, rows: Any, keys: Any) -> None:
    midway = await begin(plan(Say("Half an answer"), Hang()))
    await midway.said("Half an answer")
    told = len(await keys.jobs(CHAT_QUEUE, turn_id=midway.id))
    midway.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await midway.task
    row = await rows.turn(midway.id)
    assert (row.state, row.attempt, row.lease_until, row.partial_text) == ("queued", 1, None, "Half an answer")
    assert [name for name, _ in await keys.jobs(CHAT_QUEUE, turn_id=midway.id)] == [REPLY] * (told + 1)


async def test_the_next_attempt_begins_anew_and_tells_the_readers_where(
    begin: Begin, answering: Answering, rows: Any, keys: Any
) -> None:
    midway = await begin(plan(Say("Half an answer"), Hang()), says("A whole answer"))
    await midway.said("Half an answer")
    midway.task.cancel()
    await asyncio.gather(midway.task, return_exceptions=True)
    await process_chat_message(answering, midway.id)
    row = await rows.turn(midway.id)
    assert (row.state, row.attempt, await answer_text(rows, midway.accepted)) == ("complete", 2, "A whole answer")
    second = [entry for entry in await keys.stream(midway.id) if entry[0].startswith("2-")]
    assert second[0] == ("2-0", "restart", {"attempt": 2, "offset": 0, "reason": "worker_lost"})
    assert "".join(data["text"] for _, kind, data in second if kind == "delta") == "A whole answer"
    assert [call.state for call in await rows.calls(midway.id)] == ["aborted", "complete"]


async def test_a_model_that_continues_a_prefill_goes_on_where_the_last_attempt_was(
    begin: Begin, answering: Answering, rows: Any, keys: Any, provider: ScriptedProvider, prompt: str
) -> None:
    midway = await begin(plan(Say("Half an"), Hang()), says(" answer"), model="prefilling")
    await midway.said("Half an")
    midway.task.cancel()
    await asyncio.gather(midway.task, return_exceptions=True)
    await process_chat_message(answering, midway.id)
    assert await answer_text(rows, midway.accepted) == "Half an answer"
    assert provider.calls_for(prompt)[1].messages[-1] == {"role": "assistant", "content": "Half an"}
    second = [entry for entry in await keys.stream(midway.id) if entry[0].startswith("2-")]
    assert second[0][2] == {"attempt": 2, "offset": 7, "reason": "worker_lost"}
    assert [data for _, kind, data in second if kind == "delta"] == [{"offset": 7, "text": " answer"}]


@asynccontextmanager
async def cut_while(relay: Any) -> AsyncGenerator[None]:
    await relay.cut()
    try:
        yield
    finally:
        await relay.mend()


async def test_an_answer_that_ends_while_the_database_is_away_is_saved_when_it_is_back(
    begin: Begin,
    answering: Answering,
    database_by_relay: Database,
    postgres_relay: Any,
    provider: ScriptedProvider,
    rows: Any,
    keys: Any,
    prompt: str,
) -> None:
    gate = Gate()
    tools = replace(answering, database=database_by_relay)
    midway = await begin(says_in_two_parts("Written down", gate, " in the end"), tools=tools)
    await midway.said("Written down")
    async with cut_while(postgres_relay):
        gate.open()
        await midway.said("Written down in the end")
        await rows.end_lease(midway.id)
        await rows.change("UPDATE turns SET state = 'queued', lease_until = NULL WHERE id = :id", id=midway.id)
        assert not midway.task.done()
    await midway.task
    assert ((await rows.turn(midway.id)).state, await answer_text(rows, midway.accepted)) == (
        "complete",
        "Written down in the end",
    )
    assert len(await rows.outbox(midway.id)) == 1
    assert (await keys.stream(midway.id))[-1][1] == "end"


async def test_a_call_is_tried_again_once_the_database_that_was_away_is_back(
    begin: Begin,
    answering: Answering,
    database_by_relay: Database,
    postgres_relay: Any,
    provider: ScriptedProvider,
    rows: Any,
    prompt: str,
) -> None:
    gate = Gate()
    tools = replace(answering, database=database_by_relay)
    midway = await begin(plan(Wait(gate), Refuse(500)), says("The second time"), tools=tools)
    await until(lambda: gate.arrivals, "the provider was asked")
    async with cut_while(postgres_relay):
        gate.open()
        await until(lambda: provider.calls_for(prompt)[0].outcome == "refused", "the call has failed")
    await midway.task
    assert [call.state for call in await rows.calls(midway.id)] == ["failed", "complete"]


async def test_an_outage_longer_than_a_lease_costs_nobody_the_answer(
    begin: Begin,
    answering: Answering,
    keeper: LeaseKeeper,
    sweep: Sweep,
    rows: Any,
    provider: ScriptedProvider,
    prompt: str,
) -> None:
    """The database is back, and the sweep was quicker than the keeper of the leases."""
    gate = Gate()
    midway = await begin(says_in_two_parts("Before", gate, " and after"))
    await midway.said("Before")
    await rows.end_lease(midway.id)
    await sweep.turns()
    assert (await rows.turn(midway.id)).state == "queued"
    await keeper.renew()
    assert (await rows.turn(midway.id)).state == "running"
    await process_chat_message(answering, midway.id)  # the sweep had told a worker
    gate.open()
    await midway.task
    assert (await rows.turn(midway.id)).attempt == 1
    assert await answer_text(rows, midway.accepted) == "Before and after"
    assert len(provider.calls_for(prompt)) == 1


async def test_another_attempt_in_the_same_process_makes_the_earlier_one_leave(
    begin: Begin, answering: Answering, rows: Any, provider: ScriptedProvider, prompt: str
) -> None:
    midway = await begin(plan(Say("Mine"), Hang()), says("Theirs"))
    await midway.said("Mine")
    await rows.change("UPDATE turns SET state = 'queued', lease_until = NULL WHERE id = :id", id=midway.id)
    await process_chat_message(answering, midway.id)
    await midway.task
    assert ((await rows.turn(midway.id)).attempt, await answer_text(rows, midway.accepted)) == (2, "Theirs")


async def test_a_conversation_that_is_deleted_in_mid_answer_leaves_its_calls_and_no_text(
    begin: Begin, keeper: LeaseKeeper, database: Database, redis: Any, rows: Any, owner: PersonId
) -> None:
    midway = await begin(plan(Say("Private"), Hang()))
    await midway.said("Private")
    await keeper.renew()
    await delete_conversation(database, redis, owner, ConversationId(midway.accepted.conversation_id))
    await keeper.renew()
    await midway.task
    assert await rows.messages(midway.accepted.conversation_id) == []
    assert [(call.state, call.output_tokens) for call in await rows.calls(midway.id)] == [("aborted", 2)]
    assert [event.event_id for event in await rows.outbox(midway.id)] == [f"{midway.id}:1:1"]
    assert await redis.exists(turn_stream(midway.id)) == 0


async def test_a_stop_that_was_asked_for_while_redis_was_away_is_found_by_the_renewal(
    begin: Begin, keeper: LeaseKeeper, database: Database, redis_away: Any, rows: Any, owner: PersonId
) -> None:
    midway = await begin(plan(Say("Once"), Hang()))
    await midway.said("Once")
    await stop_turn(database, redis_away, owner, midway.id)
    await keeper.renew()
    await midway.task
    assert (await rows.turn(midway.id)).state == "stopped"


class Broken:
    """The provider's clients, with a bug."""

    def stream(self, *_: object) -> Any:
        raise KeyError("a bug")


async def test_a_bug_ends_the_turn_as_failed_and_the_job_reports_it_once(
    sentry: Any, answering: Answering, ask: Any, rows: Any, keys: Any, prompt: str
) -> None:
    accepted = await ask(prompt)
    clients: Any = Broken()
    with (
        pytest.raises(KeyError),
        queue_process("chat", "reply", headers={}, message_id="1", retries=0, enqueued_at=0.0, body_size=0),
    ):
        await process_chat_message(replace(answering, clients=clients), TurnId(accepted.id))
    row = await rows.turn(accepted.id)
    assert (row.state, row.error["code"]) == ("failed", "internal_error")
    assert [call.state for call in await rows.calls(accepted.id)] == ["aborted"]
    assert (await keys.stream(accepted.id))[-1][1] == "error"
    [transaction] = sentry.transactions("reply")
    assert sentry.errors() == [(transaction["contexts"]["trace"]["trace_id"], "KeyError")]


async def test_chunks_that_can_not_be_saved_cost_the_chunks_and_not_the_turn(
    begin: Begin, answering: Answering, rows: Any
) -> None:
    gate = Gate()
    midway = await begin(says_in_two_parts("Some", gate, " text"))
    await midway.said("Some")
    midway.running.chunks.append({"delta": {"what no database takes": "\x00"}})
    gate.open()
    with pytest.raises(Exception, match="unsupported Unicode escape"):
        await midway.task
    row = await rows.turn(midway.id)
    assert (row.state, row.error["code"], row.chunks) == ("failed", "internal_error", [])
    assert await answer_text(rows, midway.accepted) == "Some text"


async def test_a_text_that_can_not_be_saved_costs_the_text_and_not_the_turn(begin: Begin, rows: Any, keys: Any) -> None:
    gate = Gate()
    midway = await begin(says_in_two_parts("Some", gate, " text"))
    await midway.said("Some")
    midway.running.append("\x00")
    gate.open()
    with pytest.raises(Exception, match="invalid byte sequence"):
        await midway.task
    row = await rows.turn(midway.id)
    assert (row.state, row.attempt, row.error["code"]) == ("failed", 1, "not_saved")
    assert await answer_text(rows, midway.accepted) == ""
    [call] = await rows.calls(midway.id)
    assert (call.state, call.output_tokens) == ("aborted", 3)
    *_, restart, end = await keys.stream(midway.id)
    assert restart[1:] == ("restart", {"attempt": 1, "offset": 0, "reason": "not_saved"})
    assert end[1:] == ("error", {**row.error, "length": 0})


async def test_a_turn_that_is_wanted_stopped_is_not_begun(
    answering: Answering, ask: Any, rows: Any, provider: ScriptedProvider, prompt: str
) -> None:
    accepted = await ask(prompt)
    await rows.change("UPDATE turns SET stop_requested_at = now() WHERE id = :id", id=accepted.id)
    assert await claim_turn(answering.database, answering.catalogue, TurnId(accepted.id), "one") is None
    await process_chat_message(answering, TurnId(accepted.id))
    assert provider.calls_for(prompt) == []
