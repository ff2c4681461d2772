"""The stop button."""

import asyncio
from typing import Any

import pytest

from chat.claim_turn import claim_turn
from chat.process_chat_message import Answering
from chat.stop_turn import stop_turn
from wire.database import Database
from wire.ids import PersonId, TurnId, new_id
from wire.problems import NotFound
from wire.redis_keys import STOPS_CHANNEL, turn_stream


async def test_a_queued_turn_has_stopped_at_once_and_its_readers_hear_of_it(
    database: Database, redis: Any, ask: Any, rows: Any, keys: Any, owner: PersonId
) -> None:
    accepted = await ask("Hi")
    stopped = await stop_turn(database, redis, owner, TurnId(accepted.id))
    assert (stopped.state, stopped.text, stopped.attempt, stopped.finish_reason) == ("stopped", "", 0, "stop")
    assert stopped.ended_at is not None
    [_, answer] = await rows.messages(accepted.conversation_id)
    assert (answer.id, answer.text, answer.parent_id) == (accepted.id, "", accepted.person_message_id)
    assert await keys.stream(accepted.id) == [
        ("0-1", "end", {"state": "stopped", "length": 0, "finish_reason": "stop"})
    ]
    assert 0 < await redis.ttl(turn_stream(TurnId(accepted.id))) <= 600


async def test_a_turn_that_was_queued_again_keeps_its_text_and_its_call_is_settled(
    database: Database, redis: Any, answering: Answering, ask: Any, rows: Any, owner: PersonId
) -> None:
    accepted = await ask("Hi")
    await claim_turn(database, answering.catalogue, TurnId(accepted.id), "dead")
    await rows.change(
        "UPDATE turns SET state = 'queued', lease_until = NULL, partial_text = 'so far' WHERE id = :id", id=accepted.id
    )
    stopped = await stop_turn(database, redis, owner, TurnId(accepted.id))
    assert (stopped.state, stopped.text) == ("stopped", "so far")
    assert [(call.state, call.output_tokens) for call in await rows.calls(accepted.id)] == [("aborted", 2)]
    assert [event.event_id for event in await rows.outbox(accepted.id)] == [f"{accepted.id}:1:1"]


async def test_a_running_turn_gets_a_flag_and_its_worker_a_nudge(
    database: Database, redis: Any, answering: Answering, ask: Any, rows: Any, owner: PersonId
) -> None:
    accepted = await ask("Hi")
    await claim_turn(database, answering.catalogue, TurnId(accepted.id), "alive")
    async with redis.pubsub() as channel:
        await channel.subscribe(STOPS_CHANNEL)
        await channel.get_message(timeout=5)
        turn = await stop_turn(database, redis, owner, TurnId(accepted.id))
        async with asyncio.timeout(5):
            nudge = await anext(channel.listen())
    assert (turn.state, turn.ended_at) == ("running", None)
    assert (await rows.turn(accepted.id)).stop_requested_at is not None
    assert nudge["data"] == accepted.id.encode()


async def test_a_second_stop_changes_nothing(
    database: Database, redis: Any, answering: Answering, ask: Any, rows: Any, owner: PersonId
) -> None:
    accepted = await ask("Hi")
    await claim_turn(database, answering.catalogue, TurnId(accepted.id), "alive")
    await stop_turn(database, redis, owner, TurnId(accepted.id))
    before = await rows.turn(accepted.id)
    await stop_turn(database, redis, owner, TurnId(accepted.id))
    assert await rows.turn(accepted.id) == before


@pytest.mark.parametrize("state", ["complete", "failed", "stopped"])
async def test_a_turn_that_has_ended_stays_as_it_is(
    database: Database, redis: Any, ask: Any, rows: Any, keys: Any, owner: PersonId, state: str
) -> None:
    accepted = await ask("Hi")
    await rows.change("UPDATE turns SET state = :state WHERE id = :id", id=accepted.id, state=state)
    before = await rows.turn(accepted.id)
    turn = await stop_turn(database, redis, owner, TurnId(accepted.id))
    assert turn.state == state
    assert await rows.turn(accepted.id) == before
    assert await keys.stream(accepted.id) == []


async def test_many_stops_at_once_stop_once(
    database: Database, redis: Any, ask: Any, rows: Any, owner: PersonId
) -> None:
    accepted = await ask("Hi")
    turns = await asyncio.gather(*(stop_turn(database, redis, owner, TurnId(accepted.id)) for _ in range(5)))
    assert {turn.state for turn in turns} == {"stopped"}
    assert len(await rows.messages(accepted.conversation_id)) == 2


async def test_a_stop_and_a_claim_at_once_leave_a_stopped_turn_or_a_flag(
    database: Database, redis: Any, answering: Answering, ask: Any, rows: Any, owner: PersonId
) -> None:
    for _ in range(5):
        accepted = await ask("Hi")
        _, claim = await asyncio.gather(
            stop_turn(database, redis, owner, TurnId(accepted.id)),
            claim_turn(database, answering.catalogue, TurnId(accepted.id), "alive"),
        )
        row = await rows.turn(accepted.id)
        if claim is None:
            assert row.state == "stopped"
        else:
            assert (row.state, row.stop_requested_at is not None) == ("running", True)


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_without_redis_a_stop_is_taken_all_the_same(
    database: Database, redis_away: Any, answering: Answering, ask: Any, rows: Any, owner: PersonId, state: str
) -> None:
    accepted = await ask("Hi")
    if state == "running":
        await claim_turn(database, answering.catalogue, TurnId(accepted.id), "alive")
    await stop_turn(database, redis_away, owner, TurnId(accepted.id))
    assert (await rows.turn(accepted.id)).stop_requested_at is not None or state == "queued"


async def test_a_strangers_turn_answers_as_an_unknown_one(
    database: Database, redis: Any, ask: Any, rows: Any, stranger: PersonId
) -> None:
    accepted = await ask("Hi")
    for turn in (accepted.id, new_id()):
        with pytest.raises(NotFound) as raised:
            await stop_turn(database, redis, stranger, TurnId(turn))
        assert raised.value.detail == "There is no such turn."
    assert (await rows.turn(accepted.id)).state == "queued"
