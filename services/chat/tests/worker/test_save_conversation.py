"""How a turn ended is saved once, whole, and only while the attempt is ours."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chat.accept_turn import Accepting, accept_turn
from chat.call_provider import Call
from chat.catalogue import Catalogue
from chat.claim_turn import Claim, claim_turn
from chat.conversations import change_conversation, delete_conversation
from chat.errors import ProviderFailed, TurnLost
from chat.provider.stream import ReportedUsage
from chat.running_turns import RunningTurn
from chat.save_conversation import save_conversation
from chat.stop_turn import stop_turn
from chat.stores import turn_store
from parts.waiting import until
from wire.contracts.chat import CompletionRequest, ConversationChange, NewTurn, TurnError
from wire.contracts.jobs import COMPLETE_MODEL_SWITCH, RECORD_USAGE, UsageEvent
from wire.database import Database
from wire.ids import ConversationId, PersonId, TurnId, new_id
from wire.problems import Problem

FAILED = TurnError(code="provider_failed", message="It had an error.", retryable=True)

Claiming = Callable[..., Awaitable[Claim]]


@pytest.fixture
def claim(database: Database, catalogue: Catalogue, ask: Any) -> Claiming:
    """Accepts and claims a turn."""

    async def claim(text: str = "Hi", **fields: Any) -> Claim:
        accepted = await ask(text, **fields)
        claimed = await claim_turn(database, catalogue, TurnId(accepted.id), "one")
        assert claimed is not None
        return claimed

    return claim


def answered(claim: Claim, text: str, **call: Any) -> tuple[RunningTurn, Call]:
    """A whole answer, as the provider's stream leaves it."""
    turn = RunningTurn(claim.turn, claim.attempt)
    turn.append(text)
    usage = ReportedUsage(input_tokens=1000, output_tokens=200, cached_tokens=400, reasoning_tokens=50)
    fields: dict[str, Any] = {"reported": usage, "finish_reason": "stop", "said_anything": True, "duration_ms": 1500}
    return turn, Call(claim, 1, **(fields | call))


async def test_the_answer_the_end_the_call_and_its_event_are_there_together(
    database: Database, claim: Claiming, rows: Any
) -> None:
    claimed = await claim()
    turn, call = answered(claimed, "Hello \U0001f600", response_model="alpha-2026", time_to_first_token_ms=80)
    turn.chunks.append({"delta": {"reasoning_content": "Hm"}})
    events = await save_conversation(database, claimed, turn, call, None)
    row = await rows.turn(claimed.turn)
    usage = {
        "model": "alpha",
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "cached_tokens": 400,
        "reasoning_tokens": 50,
        "cost_usd": "0.00024",
        "source": "reported",
    }
    assert (row.state, row.finish_reason, row.error, row.usage) == ("complete", "stop", None, usage)
    assert (row.lease_until, row.partial_text, row.chunks) == (None, "", [{"delta": {"reasoning_content": "Hm"}}])
    assert row.ended_at is not None
    [_, answer] = await rows.messages(claimed.conversation)
    assert (answer.id, answer.role, answer.text, answer.model) == (
        claimed.turn,
        "assistant",
        "Hello \U0001f600",
        "alpha",
    )
    assert answer.parent_id == claimed.person_message
    [settled] = await rows.calls(claimed.turn)
    assert (settled.state, settled.input_tokens, settled.output_tokens, settled.token_source) == (
        "complete",
        1000,
        200,
        "reported",
    )
    [(job, event)] = events
    [waiting] = await rows.outbox(claimed.turn)
    assert isinstance(event, UsageEvent)
    assert (job, waiting.job, waiting.event_id) == (RECORD_USAGE, RECORD_USAGE, f"{claimed.turn}:1:1")
    assert waiting.payload == event.model_dump(mode="json")
    assert (event.state, event.response_model, event.cached_tokens, event.reasoning_tokens) == (
        "complete",
        "alpha-2026",
        400,
        50,
    )
    assert (event.time_to_first_token_ms, event.duration_ms, event.finish_reason) == (80, 1500, "stop")


async def test_saving_twice_saves_once(database: Database, claim: Claiming, rows: Any) -> None:
    claimed = await claim()
    turn, call = answered(claimed, "Hello")
    await save_conversation(database, claimed, turn, call, None)
    before = await rows.turn(claimed.turn)
    assert await save_conversation(database, claimed, turn, call, None) == []
    assert await rows.turn(claimed.turn) == before
    assert len(await rows.messages(claimed.conversation)) == 2
    assert len(await rows.outbox(claimed.turn)) == 1


async def test_of_two_saves_at_once_one_saves(database: Database, claim: Claiming, rows: Any) -> None:
    claimed = await claim()
    turn, call = answered(claimed, "Hello")
    saved = await asyncio.gather(*(save_conversation(database, claimed, turn, call, None) for _ in range(4)))
    assert sorted(len(events) for events in saved) == [0, 0, 0, 1]
    assert len(await rows.messages(claimed.conversation)) == 2


@pytest.mark.parametrize("state", ["running", "queued", "complete", "failed"])
async def test_a_turn_of_a_later_attempt_is_lost(database: Database, claim: Claiming, rows: Any, state: str) -> None:
    claimed = await claim()
    await rows.change(
        """
        UPDATE turns SET attempt = 2, state = :state, lease_until = CASE :state WHEN 'running' THEN now() END
        WHERE id = :id
        """,
        id=claimed.turn,
        state=state,
    )
    before = await rows.turn(claimed.turn)
    with pytest.raises(TurnLost):
        await save_conversation(database, claimed, *answered(claimed, "Hello"), None)
    assert await rows.turn(claimed.turn) == before
    assert [call.state for call in await rows.calls(claimed.turn)] == ["open"]
    assert await rows.outbox(claimed.turn) == []


async def test_a_turn_that_was_handed_over_is_lost(database: Database, claim: Claiming, rows: Any) -> None:
    claimed = await claim()
    async with database.transaction() as connection:
        await turn_store.hand_over(connection, claimed.turn, claimed.attempt, "so far")
    with pytest.raises(TurnLost):
        await save_conversation(database, claimed, *answered(claimed, "Hello"), None)
    assert (await rows.turn(claimed.turn)).state == "queued"


async def test_a_turn_that_was_stopped_after_it_was_queued_again_is_lost(
    database: Database, claim: Claiming, rows: Any, owner: PersonId, redis: Any
) -> None:
    claimed = await claim()
    await rows.change("UPDATE turns SET state = 'queued', lease_until = NULL WHERE id = :id", id=claimed.turn)
    await stop_turn(database, redis, owner, claimed.turn)
    with pytest.raises(TurnLost):
        await save_conversation(database, claimed, *answered(claimed, "Hello"), None)
    assert (await rows.turn(claimed.turn)).state == "stopped"


async def test_a_turn_that_was_deleted_is_lost(database: Database, claim: Claiming, rows: Any) -> None:
    claimed = await claim()
    await rows.change("DELETE FROM turns WHERE id = :id", id=claimed.turn)
    with pytest.raises(TurnLost):
        await save_conversation(database, claimed, *answered(claimed, "Hello"), None)


async def test_a_turn_that_was_queued_again_and_left_alone_is_still_ours_to_save(
    database: Database, claim: Claiming, rows: Any
) -> None:
    claimed = await claim()
    await rows.change("UPDATE turns SET state = 'queued', lease_until = NULL WHERE id = :id", id=claimed.turn)
    await save_conversation(database, claimed, *answered(claimed, "Hello"), None)
    assert (await rows.turn(claimed.turn)).state == "complete"


async def test_what_can_not_be_saved_whole_is_not_saved_at_all(database: Database, claim: Claiming, rows: Any) -> None:
    claimed = await claim()
    turn, call = answered(claimed, "Hello")
    await rows.change("DELETE FROM calls WHERE turn_id = :id", id=claimed.turn)
    await rows.change(
        "INSERT INTO messages (id, conversation_id, role, text) VALUES (:id, :conversation, 'assistant', 'in the way')",
        id=claimed.turn,
        conversation=claimed.conversation,
    )
    with pytest.raises(Exception, match="duplicate key"):
        await save_conversation(database, claimed, turn, call, None)
    row = await rows.turn(claimed.turn)
    assert (row.state, row.ended_at) == ("running", None)
    assert await rows.outbox(claimed.turn) == []


async def test_a_stopped_answer_is_saved_as_stopped(database: Database, claim: Claiming, rows: Any) -> None:
    claimed = await claim()
    turn, call = answered(claimed, "Hello", state="stopped", reported=None, said_chars=5)
    await save_conversation(database, claimed, turn, call, None)
    row = await rows.turn(claimed.turn)
    assert (row.state, row.finish_reason, row.usage["source"]) == ("stopped", "stop", "estimated")
    assert row.usage["prompt_tokens"] == claimed.prompt.estimated_tokens
    assert row.usage["completion_tokens"] == 2
    assert (await rows.calls(claimed.turn))[0].state == "stopped"


async def test_a_failure_keeps_the_text_so_far_and_says_why(database: Database, claim: Claiming, rows: Any) -> None:
    claimed = await claim()
    error = ProviderFailed("oh")
    turn, call = answered(claimed, "So far", state="cut", error=error, finish_reason=None, reported=None, said_chars=6)
    [(_, event)] = await save_conversation(database, claimed, turn, call, FAILED)
    row = await rows.turn(claimed.turn)
    assert (row.state, row.finish_reason, row.error) == ("failed", None, FAILED.model_dump())
    assert (await rows.messages(claimed.conversation))[1].text == "So far"
    assert isinstance(event, UsageEvent)
    assert (event.state, event.error_class, event.output_tokens) == ("cut", "ProviderFailed", 2)


async def test_a_failure_before_a_word_costs_nothing_that_is_known(
    database: Database, claim: Claiming, rows: Any
) -> None:
    claimed = await claim()
    turn, call = answered(claimed, "", state="failed", error=ProviderFailed("oh"), reported=None, said_anything=False)
    await save_conversation(database, claimed, turn, call, FAILED)
    [settled] = await rows.calls(claimed.turn)
    assert (settled.state, settled.input_tokens, settled.output_tokens) == ("failed", 0, 0)


async def test_a_call_whose_end_nobody_knows_is_settled_with_the_turn(
    database: Database, claim: Claiming, rows: Any
) -> None:
    claimed = await claim()
    turn, _ = answered(claimed, "Hello")
    [(job, event)] = await save_conversation(database, claimed, turn, None, FAILED)
    [settled] = await rows.calls(claimed.turn)
    assert (settled.state, settled.output_tokens) == ("aborted", 2)
    assert isinstance(event, UsageEvent)
    assert (job, event.event_id) == (RECORD_USAGE, settled.id)


@pytest.mark.parametrize(("error", "outcome"), [(None, "completed"), (FAILED, "failed")])
async def test_the_switch_that_waited_for_the_turn_is_completed_by_its_end(
    accepting: Accepting,
    database: Database,
    claim: Claiming,
    ask: Any,
    rows: Any,
    owner: PersonId,
    error: TurnError | None,
    outcome: str,
) -> None:
    first = await claim()
    await save_conversation(database, first, *answered(first, "Hello"), None)
    switch_id = new_id()
    change = ConversationChange(model="beta", switch_id=switch_id)
    await change_conversation(database, accepting.catalogue, owner, ConversationId(first.conversation), change)
    claimed = await claim("And you?", conversation_id=first.conversation)
    events = await save_conversation(database, claimed, *answered(claimed, "Me too"), error)
    assert [job for job, _ in events] == [RECORD_USAGE, COMPLETE_MODEL_SWITCH]
    [waiting] = [event for event in await rows.outbox(claimed.turn) if event.job == COMPLETE_MODEL_SWITCH]
    assert waiting.event_id == f"{switch_id}:completed"
    assert waiting.payload == events[1][1].model_dump(mode="json")
    assert (waiting.payload["outcome"], waiting.payload["turn_id"]) == (outcome, claimed.turn)
    third = await ask("And then?", conversation_id=first.conversation)
    assert (await rows.turn(third.id)).switch is None


async def test_a_switch_that_was_made_meanwhile_goes_on_waiting(
    accepting: Accepting, database: Database, claim: Claiming, ask: Any, rows: Any, owner: PersonId
) -> None:
    claimed = await claim()
    switch_id = new_id()
    change = ConversationChange(model="beta", switch_id=switch_id)
    await change_conversation(database, accepting.catalogue, owner, ConversationId(claimed.conversation), change)
    await save_conversation(database, claimed, *answered(claimed, "Hello"), None)
    following = await ask("And you?", conversation_id=claimed.conversation)
    assert (await rows.turn(following.id)).switch["tracking_id"] == switch_id


@pytest.fixture
def all_at_once(database: Database) -> Any:
    """Starts these one after the other while the conversation is locked, so that they meet when it is free."""

    async def all_at_once(conversation: str, *works: Awaitable[Any]) -> list[Any]:
        tasks: list[asyncio.Future[Any]] = []
        async with database.transaction() as connection:
            await connection.exec_driver_sql(f"SELECT 1 FROM conversations WHERE id = '{conversation}' FOR UPDATE")
            for count, work in enumerate(works, 1):
                tasks.append(asyncio.ensure_future(work))
                await until(lambda count=count: waiting_for_locks(database, count), f"{count} wait")
        return await asyncio.gather(*tasks, return_exceptions=True)

    return all_at_once


async def waiting_for_locks(database: Database, count: int) -> bool:
    async with database.transaction() as connection:
        found = await connection.exec_driver_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return found.scalar_one() == count


async def test_a_message_that_is_accepted_while_an_answer_is_saved_blocks_no_one(
    database: Database, claim: Claiming, ask: Any, rows: Any, all_at_once: Any
) -> None:
    claimed = await claim()
    accepted, saved = await all_at_once(
        claimed.conversation,
        ask("Next", conversation_id=claimed.conversation),
        save_conversation(database, claimed, *answered(claimed, "Hello"), None),
    )
    assert isinstance(accepted, Problem)
    assert (accepted.code, len(saved)) == ("turn_in_progress", 1)
    assert (await rows.turn(claimed.turn)).state == "complete"


async def test_a_conversation_that_is_deleted_while_its_answer_is_saved_blocks_no_one(
    database: Database, claim: Claiming, rows: Any, owner: PersonId, redis: Any, all_at_once: Any
) -> None:
    claimed = await claim()
    deleted, saved = await all_at_once(
        claimed.conversation,
        delete_conversation(database, redis, owner, ConversationId(claimed.conversation)),
        save_conversation(database, claimed, *answered(claimed, "Hello"), None),
    )
    assert (deleted, type(saved)) == (None, TurnLost)
    assert await rows.messages(claimed.conversation) == []


async def test_a_turn_that_is_stopped_while_its_answer_is_saved_has_one_end(
    database: Database, claim: Claiming, rows: Any, owner: PersonId, redis: Any, all_at_once: Any
) -> None:
    claimed = await claim()
    saved, stopped = await all_at_once(
        claimed.conversation,
        save_conversation(database, claimed, *answered(claimed, "Hello"), None),
        stop_turn(database, redis, owner, claimed.turn),
    )
    assert (len(saved), stopped.state, stopped.text) == (1, "complete", "Hello")
    assert len(await rows.messages(claimed.conversation)) == 2


async def test_a_completions_request_is_forgotten_with_its_end(
    accepting: Accepting, database: Database, catalogue: Catalogue, rows: Any, owner: PersonId
) -> None:
    request = CompletionRequest(messages=[{"role": "user", "content": "Hi"}])
    accepted = await accept_turn(accepting, owner, NewTurn(text="Hi", model="alpha", completion=request))
    claimed = await claim_turn(database, catalogue, TurnId(accepted.id), "one")
    assert claimed is not None
    await save_conversation(database, claimed, *answered(claimed, "Hello"), None)
    assert (await rows.turn(accepted.id)).completion is None


async def test_an_unknown_price_is_no_cost(database: Database, claim: Claiming, rows: Any) -> None:
    claimed = await claim(model="beta")
    await save_conversation(database, claimed, *answered(claimed, "Hello"), None)
    assert (await rows.turn(claimed.turn)).usage["cost_usd"] is None
