"""A claim takes the turn, settles what a dead attempt left open and opens its own first call: all or nothing."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from chat.accept_turn import Accepting, accept_turn
from chat.catalogue import Catalogue
from chat.claim_turn import Claim, claim_turn
from chat.stores.turn_store import Checkpoint, renew_leases
from wire.contracts.chat import CompletionRequest, NewTurn
from wire.contracts.jobs import RECORD_USAGE
from wire.database import Database, DatabaseUnavailable
from wire.ids import TurnId, new_id


@pytest.fixture
def claim(database: Database, catalogue: Catalogue) -> Any:
    async def claim(turn: str, worker: str = "one") -> Claim | None:
        return await claim_turn(database, catalogue, TurnId(turn), worker)

    return claim


@pytest.fixture
def die(database: Database, rows: Any) -> Any:
    """The worker that holds the turn has checkpointed this text and is gone; the sweep has queued the turn again."""

    async def die(turn: str, attempt: int, text: str) -> None:
        async with database.transaction() as connection:
            await renew_leases(connection, [Checkpoint(TurnId(turn), attempt, text)])
        await rows.change("UPDATE turns SET state = 'queued', lease_until = NULL WHERE id = :id", id=turn)

    return die


async def test_a_queued_turn_is_running_with_a_lease_and_its_first_call_is_open(
    ask: Any, claim: Any, rows: Any, owner: str, prompt: str
) -> None:
    accepted = await ask(prompt)
    claimed = await claim(accepted.id)
    row = await rows.turn(accepted.id)
    assert (row.state, row.attempt, row.worker) == ("running", 1, "one")
    assert (row.lease_until - row.started_at).total_seconds() == 8
    [call] = await rows.calls(accepted.id)
    assert (call.id, call.state, call.attempt, call.call) == (f"{accepted.id}:1:1", "open", 1, 1)
    assert (call.session_id, call.owner_id, call.origin) == (accepted.conversation_id, owner, "page")
    assert (call.model, call.provider, call.purpose) == ("alpha", "scripted", "reply")
    assert call.price == {"input": "0.15", "cached_input": "0.075", "output": "0.60", "version": "models.toml"}
    assert call.input_tokens == claimed.prompt.estimated_tokens
    assert claimed.prompt.messages == [{"role": "user", "content": prompt}]
    assert (claimed.kept_text, claimed.aborted, claimed.switch) == ("", [], None)


async def test_of_many_concurrent_claims_one_wins(ask: Any, claim: Any, rows: Any, prompt: str) -> None:
    accepted = await ask(prompt)
    claims = await asyncio.gather(*(claim(accepted.id, f"worker {n}") for n in range(8)))
    [winner] = [claim for claim in claims if claim is not None]
    assert winner.attempt == 1
    assert (await rows.turn(accepted.id)).attempt == 1
    assert len(await rows.calls(accepted.id)) == 1


@pytest.mark.parametrize("state", ["running", "complete", "failed", "stopped"])
async def test_only_a_queued_turn_is_to_be_had(ask: Any, claim: Any, rows: Any, prompt: str, state: str) -> None:
    accepted = await ask(prompt)
    await rows.change(
        "UPDATE turns SET state = :state, lease_until = CASE :state WHEN 'running' THEN now() END WHERE id = :id",
        id=accepted.id,
        state=state,
    )
    assert await claim(accepted.id) is None
    assert await rows.calls(accepted.id) == []


async def test_an_unknown_turn_is_not_to_be_had(claim: Any) -> None:
    assert await claim(new_id()) is None


async def test_a_turn_that_its_person_wants_stopped_is_not_to_be_had(
    ask: Any, claim: Any, rows: Any, prompt: str
) -> None:
    accepted = await ask(prompt)
    await rows.change("UPDATE turns SET stop_requested_at = now() WHERE id = :id", id=accepted.id)
    assert await claim(accepted.id) is None


async def test_the_open_call_of_a_dead_attempt_is_settled_as_aborted_and_tracking_is_to_hear_of_it(
    ask: Any, claim: Any, die: Any, rows: Any, owner: str, prompt: str
) -> None:
    accepted = await ask(prompt)
    first = await claim(accepted.id)
    await die(accepted.id, 1, "x" * 41)
    second = await claim(accepted.id, "two")
    assert (second.attempt, (await rows.turn(accepted.id)).worker) == (2, "two")
    [dead, alive] = await rows.calls(accepted.id)
    assert (dead.state, dead.input_tokens, dead.output_tokens, dead.token_source) == (
        "aborted",
        first.prompt.estimated_tokens,
        11,
        "estimated",
    )
    assert (alive.id, alive.state) == (f"{accepted.id}:2:1", "open")
    [event] = await rows.outbox(accepted.id)
    assert (event.event_id, event.job) == (f"{accepted.id}:1:1", RECORD_USAGE)
    assert event.payload == second.aborted[0].model_dump(mode="json")
    [aborted] = second.aborted
    assert (aborted.state, aborted.attempt, aborted.output_tokens, aborted.error_class) == (
        "aborted",
        1,
        11,
        "WorkerLost",
    )
    assert aborted.price is not None
    assert (aborted.owner_id, aborted.price.output) == (owner, Decimal("0.60"))


async def test_a_call_that_was_settled_is_not_settled_again(
    ask: Any, claim: Any, die: Any, rows: Any, prompt: str
) -> None:
    accepted = await ask(prompt)
    await claim(accepted.id)
    await die(accepted.id, 1, "")
    await claim(accepted.id)
    await die(accepted.id, 2, "")
    third = await claim(accepted.id)
    assert [event.event_id for event in third.aborted] == [f"{accepted.id}:2:1"]
    assert [call.state for call in await rows.calls(accepted.id)] == ["aborted", "aborted", "open"]
    assert len(await rows.outbox(accepted.id)) == 2


async def test_a_new_attempt_begins_with_no_text(ask: Any, claim: Any, die: Any, rows: Any, prompt: str) -> None:
    accepted = await ask(prompt)
    await claim(accepted.id)
    await die(accepted.id, 1, "half an ans")
    second = await claim(accepted.id)
    assert (second.kept_text, (await rows.turn(accepted.id)).partial_text) == ("", "")


async def test_a_model_that_continues_a_prefill_goes_on_from_the_text_so_far(
    ask: Any, claim: Any, die: Any, rows: Any, prompt: str
) -> None:
    accepted = await ask(prompt, model="prefilling")
    await claim(accepted.id)
    await die(accepted.id, 1, "half an ans")
    second = await claim(accepted.id)
    assert (second.kept_text, (await rows.turn(accepted.id)).partial_text) == ("half an ans", "half an ans")
    [_, call] = await rows.calls(accepted.id)
    assert call.input_tokens == second.prompt.estimated_tokens + 3


async def test_a_claim_that_fails_leaves_nothing_behind(ask: Any, claim: Any, rows: Any, prompt: str) -> None:
    accepted = await ask(prompt)
    await rows.change(
        """
        INSERT INTO calls (id, turn_id, session_id, owner_id, origin, attempt, call, purpose, model, provider)
        SELECT id || ':1:1', id, conversation_id, owner_id, origin, 1, 1, 'reply', model, 'p' FROM turns WHERE id = :id
        """,
        id=accepted.id,
    )
    with pytest.raises(Exception, match="duplicate key"):
        await claim(accepted.id)
    row = await rows.turn(accepted.id)
    assert (row.state, row.attempt, row.lease_until) == ("queued", 0, None)


async def test_a_turn_whose_model_is_gone_is_claimed_without_a_call(
    ask: Any, claim: Any, rows: Any, prompt: str
) -> None:
    accepted = await ask(prompt)
    await rows.change("UPDATE turns SET model = 'gone' WHERE id = :id", id=accepted.id)
    claimed = await claim(accepted.id)
    assert (claimed.route, claimed.model) == (None, "gone")
    assert await rows.calls(accepted.id) == []


async def test_without_the_database_nothing_is_claimed(
    ask: Any, database_by_relay: Database, postgres_relay: Any, catalogue: Catalogue, rows: Any, prompt: str
) -> None:
    accepted = await ask(prompt)
    await postgres_relay.cut()
    with pytest.raises(DatabaseUnavailable):
        await claim_turn(database_by_relay, catalogue, TurnId(accepted.id), "one")
    assert (await rows.turn(accepted.id)).state == "queued"


async def test_a_completion_is_claimed_with_its_own_history(
    accepting: Accepting, claim: Any, owner: Any, prompt: str
) -> None:
    history = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": prompt}]
    request = CompletionRequest(messages=history, parameters={"seed": 7})
    accepted = await accept_turn(accepting, owner, NewTurn(text=prompt, model="alpha", completion=request))
    claimed = await claim(accepted.id)
    assert (claimed.prompt.messages, claimed.prompt.parameters, claimed.origin) == (history, {"seed": 7}, "v1")
