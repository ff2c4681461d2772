"""One statement renews the leases of all turns of a process, checkpoints their texts and brings news of them."""

import asyncio
from typing import Any

import pytest

from chat.claim_turn import claim_turn
from chat.keep_leases import LeaseKeeper
from chat.process_chat_message import Answering
from chat.running_turns import RunningTurn, RunningTurns
from chat.stop_turn import stop_turn
from chat.stores import turn_store
from parts.waiting import until
from wire.database import Database, DatabaseUnavailable
from wire.ids import TurnId


@pytest.fixture
def run(answering: Answering, ask: Any) -> Any:
    """Accepts and claims a turn: it runs here from now on."""

    async def run(text: str = "Hi") -> RunningTurn:
        accepted = await ask(text)
        claim = await claim_turn(answering.database, answering.catalogue, TurnId(accepted.id), answering.worker)
        assert claim is not None
        turn = RunningTurn(claim.turn, claim.attempt)
        answering.turns.add(turn)
        return turn

    return run


async def test_every_lease_is_renewed_and_every_text_saved(keeper: LeaseKeeper, run: Any, rows: Any) -> None:
    turns = [await run(), await run()]
    for turn, said in zip(turns, ["Hello \U0001f600", ""], strict=True):
        turn.append(said)
        await rows.end_lease(turn.id)
    await keeper.renew()
    after = [await rows.turn(turn.id) for turn in turns]
    assert [row.partial_text for row in after] == ["Hello \U0001f600", ""]
    assert [row.state for row in after] == ["running"] * 2
    assert [turn.interruption for turn in turns] == [None, None]
    assert [await rows.has_good_lease(turn.id) for turn in turns] == [True, True]


async def test_a_text_is_saved_again_only_when_it_has_grown(keeper: LeaseKeeper, run: Any, rows: Any) -> None:
    turn = await run()
    turn.append("Hello")
    await keeper.renew()
    await rows.change("UPDATE turns SET partial_text = 'as it was' WHERE id = :id", id=turn.id)
    await keeper.renew()
    assert (await rows.turn(turn.id)).partial_text == "as it was"
    turn.append(" there")
    await keeper.renew()
    assert (await rows.turn(turn.id)).partial_text == "Hello there"


async def test_a_text_that_grows_while_it_is_saved_is_saved_the_next_time(
    keeper: LeaseKeeper, run: Any, rows: Any, database: Database
) -> None:
    turn = await run()
    turn.append("Hello")
    async with database.transaction() as connection:
        await connection.exec_driver_sql(f"SELECT 1 FROM turns WHERE id = '{turn.id}' FOR UPDATE")
        renewing = asyncio.create_task(keeper.renew())
        await until(lambda: waits_for_a_lock(database), "the statement is on its way")
        turn.append(" there")
    await renewing
    assert (await rows.turn(turn.id)).partial_text == "Hello"
    await keeper.renew()
    assert (await rows.turn(turn.id)).partial_text == "Hello there"


async def waits_for_a_lock(database: Database) -> bool:
    async with database.transaction() as connection:
        found = await connection.exec_driver_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return found.scalar_one() == 1


async def test_a_turn_that_another_attempt_has_claimed_is_lost_and_stays_as_it_is(
    keeper: LeaseKeeper, run: Any, rows: Any
) -> None:
    turn = await run()
    turn.append("Mine")
    await rows.change("UPDATE turns SET attempt = 2, partial_text = 'theirs' WHERE id = :id", id=turn.id)
    await keeper.renew()
    row = await rows.turn(turn.id)
    assert (turn.interruption, turn.interrupted.is_set()) == ("lost", True)
    assert (row.attempt, row.partial_text) == (2, "theirs")


@pytest.mark.parametrize("state", ["complete", "failed", "stopped"])
async def test_a_turn_that_has_ended_elsewhere_is_lost(keeper: LeaseKeeper, run: Any, rows: Any, state: str) -> None:
    turn = await run()
    await rows.change("UPDATE turns SET state = :state, lease_until = NULL WHERE id = :id", id=turn.id, state=state)
    await keeper.renew()
    assert turn.interruption == "lost"


async def test_a_turn_that_was_deleted_is_lost(keeper: LeaseKeeper, run: Any, rows: Any) -> None:
    turn = await run()
    await rows.change("DELETE FROM turns WHERE id = :id", id=turn.id)
    await keeper.renew()
    assert turn.interruption == "lost"


async def test_a_turn_that_was_queued_again_and_left_alone_is_taken_up_again(
    keeper: LeaseKeeper, run: Any, rows: Any
) -> None:
    turn = await run()
    turn.append("Still here")
    await rows.change("UPDATE turns SET state = 'queued', lease_until = NULL WHERE id = :id", id=turn.id)
    await keeper.renew()
    row = await rows.turn(turn.id)
    assert (row.state, row.attempt, row.partial_text, turn.interruption) == ("running", 1, "Still here", None)


async def test_a_turn_that_was_handed_over_is_not_taken_back(
    keeper: LeaseKeeper, run: Any, rows: Any, database: Database
) -> None:
    turn = await run()
    async with database.transaction() as connection:
        assert await turn_store.hand_over(connection, turn.id, turn.attempt, "so far")
    await keeper.renew()
    assert ((await rows.turn(turn.id)).state, turn.interruption) == ("queued", "lost")


async def test_a_stop_that_redis_did_not_bring_is_found(
    keeper: LeaseKeeper, run: Any, database: Database, redis_away: Any, owner: Any
) -> None:
    turn = await run()
    await stop_turn(database, redis_away, owner, turn.id)
    assert turn.interruption is None
    await keeper.renew()
    assert turn.interruption == "stopped"


async def test_a_stop_that_redis_brings_interrupts_at_once_and_only_what_runs_here(
    keeper: LeaseKeeper, run: Any, ask: Any
) -> None:
    turn = await run()
    keeper.stop(TurnId((await ask("elsewhere")).id))
    assert turn.interruption is None
    keeper.stop(turn.id)
    assert turn.interruption == "stopped"


async def test_without_the_database_the_turns_go_on(
    database_by_relay: Database, postgres_relay: Any, answering: Answering, run: Any
) -> None:
    turn = await run()
    keeper = LeaseKeeper(database_by_relay, answering.turns)
    await postgres_relay.cut()
    with pytest.raises(DatabaseUnavailable):
        await keeper.renew()
    assert turn.interruption is None


async def test_without_turns_the_database_is_not_asked(database_by_relay: Database, postgres_relay: Any) -> None:
    await postgres_relay.cut()
    await LeaseKeeper(database_by_relay, RunningTurns()).renew()


def test_a_turn_that_is_lost_stays_lost() -> None:
    turn = RunningTurn(TurnId("t"), 1)
    turn.interrupt("stopped")
    turn.interrupt("lost")
    turn.interrupt("stopped")
    assert turn.interruption == "lost"


def test_an_attempt_that_is_still_here_when_the_next_one_begins_has_lost_the_turn() -> None:
    turns = RunningTurns()
    first, second = RunningTurn(TurnId("t"), 1), RunningTurn(TurnId("t"), 2)
    turns.add(first)
    turns.add(second)
    turns.remove(first)
    assert (first.interruption, second.interruption, turns.all()) == ("lost", None, [second])
