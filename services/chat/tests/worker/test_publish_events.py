"""What readers are told goes into Redis streams: in order, at once or in windows, and only under the newest attempt."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from chat.publish_events import EventPublisher, publish_last
from chat.running_turns import RunningTurn
from parts.waiting import until
from wire.ids import TurnId, new_id
from wire.redis_keys import turn_stream
from wire.turn_events import TurnData


def a_turn(attempt: int = 1, turn: str | None = None) -> RunningTurn:
    return RunningTurn(TurnId(turn or new_id()), attempt)


def beginning(turn: RunningTurn) -> TurnData:
    return {
        "turn_id": turn.id,
        "conversation_id": "c",
        "message_id": turn.id,
        "person_message_id": "p",
        "model": "alpha",
        "attempt": turn.attempt,
        "state": "running",
        "trace_id": None,
    }


def say(publisher: EventPublisher, turn: RunningTurn, *texts: str) -> None:
    for text in texts:
        publisher.text(turn, turn.append(text), text)


async def stream_with(keys: Any, turn: RunningTurn, count: int) -> list[tuple[str, str, Any]]:
    """The stream, once it has this many entries."""

    async def enough() -> Any:
        entries = await keys.stream(turn.id)
        return entries if len(entries) >= count else None

    return await until(enough, f"{count} entries")


@pytest.fixture
async def silent(redis: Redis) -> EventPublisher:
    """A publisher whose flusher does not run: what is sent is sent by `begin` and `end` alone."""
    return EventPublisher(redis)


async def test_a_turn_begins_with_seq_0_of_its_attempt_and_a_lifetime(
    silent: EventPublisher, keys: Any, redis: Redis
) -> None:
    turn = a_turn(attempt=2)
    await silent.begin(turn, "turn", beginning(turn))
    assert await keys.stream(turn.id) == [("2-0", "turn", beginning(turn))]
    assert 3500 < await redis.ttl(turn_stream(turn.id)) <= 3600


async def test_the_first_text_is_sent_without_waiting_for_the_end(publisher: EventPublisher, keys: Any) -> None:
    turn = a_turn()
    await publisher.begin(turn, "turn", beginning(turn))
    say(publisher, turn, "Hello")
    assert (await stream_with(keys, turn, 2))[1] == ("1-1", "delta", {"offset": 0, "text": "Hello"})


async def test_the_first_text_of_a_turn_does_not_wait_for_the_window_of_another(redis: Redis, keys: Any) -> None:
    publisher = EventPublisher(redis, window_s=3600)
    flushing = asyncio.create_task(publisher.run())
    busy, new = a_turn(), a_turn()
    say(publisher, busy, "first")
    await stream_with(keys, busy, 1)
    say(publisher, busy, "waits for its window")
    say(publisher, new, "goes at once")
    await stream_with(keys, new, 1)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)


async def test_texts_of_one_window_become_one_delta_with_the_offset_of_the_first(
    silent: EventPublisher, keys: Any
) -> None:
    turn = a_turn()
    say(silent, turn, "Hello", " there", "!")
    await silent.end(turn)
    assert await keys.stream(turn.id) == [("1-0", "delta", {"offset": 0, "text": "Hello there!"})]


async def test_offsets_count_code_points(silent: EventPublisher, keys: Any) -> None:
    turn = a_turn()
    say(silent, turn, "\U0001f468\u200d\U0001f469", "\U0001d518")
    silent.chunk(turn, {"delta": {"reasoning_content": "Hm"}})
    say(silent, turn, "!")
    await silent.end(turn)
    assert await keys.stream(turn.id) == [
        ("1-0", "delta", {"offset": 0, "text": "\U0001f468\u200d\U0001f469\U0001d518"}),
        ("1-1", "chunk", {"delta": {"reasoning_content": "Hm"}}),
        ("1-2", "delta", {"offset": 4, "text": "!"}),
    ]


async def test_events_stay_in_the_order_in_which_they_were_told(silent: EventPublisher, keys: Any) -> None:
    turn = a_turn()
    say(silent, turn, "a")
    silent.chunk(turn, {"delta": {"tool_calls": [1]}})
    silent.chunk(turn, {"delta": {"tool_calls": [2]}})
    say(silent, turn, "b", "c")
    silent.event(turn, "usage", {"model": "alpha"})
    silent.event(turn, "end", {"state": "complete", "length": 3, "finish_reason": "stop"})
    await silent.end(turn)
    assert [(entry_id, kind) for entry_id, kind, _ in await keys.stream(turn.id)] == [
        ("1-0", "delta"),
        ("1-1", "chunk"),
        ("1-2", "chunk"),
        ("1-3", "delta"),
        ("1-4", "usage"),
        ("1-5", "end"),
    ]


async def test_an_ended_stream_lives_ten_minutes(silent: EventPublisher, redis: Redis) -> None:
    turn = a_turn()
    await silent.begin(turn, "turn", beginning(turn))
    say(silent, turn, "Hello")
    await silent.end(turn)
    assert 0 < await redis.ttl(turn_stream(turn.id)) <= 600


async def test_flushes_and_ends_at_once_keep_the_order_and_lose_nothing(publisher: EventPublisher, keys: Any) -> None:
    turns = [a_turn() for _ in range(20)]

    async def answer(turn: RunningTurn) -> None:
        await publisher.begin(turn, "turn", beginning(turn))
        for n in range(50):
            say(publisher, turn, f"{n} ")
            if n % 7 == 0:
                await asyncio.sleep(0)
        publisher.event(turn, "end", {"length": turn.length})
        await publisher.end(turn)

    await asyncio.gather(*(answer(turn) for turn in turns))
    for turn in turns:
        entries = await keys.stream(turn.id)
        assert [entry_id for entry_id, _, _ in entries] == [f"1-{n}" for n in range(len(entries))]
        assert "".join(data["text"] for _, kind, data in entries if kind == "delta") == turn.text
        assert entries[-1][1:] == ("end", {"length": turn.length})
        assert turn.interruption is None


async def test_an_end_does_not_overtake_a_flush_that_is_slow(
    redis_by_relay: Redis, valkey_relay: Any, keys: Any
) -> None:
    publisher = EventPublisher(redis_by_relay)
    turn = a_turn()
    await publisher.begin(turn, "turn", beginning(turn))
    valkey_relay.first_may_speak.clear()
    say(publisher, turn, "Hello")
    flushing = asyncio.create_task(publisher.run())
    await until(lambda: turn.next_seq == 2, "the flush is on its way")
    publisher.event(turn, "end", {"length": 5})
    ending = asyncio.create_task(publisher.end(turn))
    await asyncio.wait({ending}, timeout=0.2)  # one that overtakes is through within it
    valkey_relay.first_may_speak.set()
    await ending
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    assert [(entry_id, kind) for entry_id, kind, _ in await keys.stream(turn.id)] == [
        ("1-0", "turn"),
        ("1-1", "delta"),
        ("1-2", "end"),
    ]
    assert turn.interruption is None


async def test_a_superseded_attempt_is_refused_and_interrupted_as_lost(
    silent: EventPublisher, redis: Redis, keys: Any
) -> None:
    old = a_turn(1)
    new = a_turn(2, old.id)
    await silent.begin(old, "turn", beginning(old))
    await EventPublisher(redis).begin(new, "restart", {"attempt": 2, "offset": 0, "reason": "worker_lost"})
    say(silent, old, "too late")
    await silent.end(old)
    assert old.interruption == "lost"
    assert [entry_id for entry_id, _, _ in await keys.stream(old.id)] == ["1-0", "2-0"]


async def test_a_superseded_attempt_in_the_same_process_is_kept_apart(silent: EventPublisher, keys: Any) -> None:
    old = a_turn(1)
    new = a_turn(2, old.id)
    say(silent, old, "too late")
    await silent.begin(new, "restart", {"attempt": 2, "offset": 0, "reason": "worker_lost"})
    say(silent, new, "in time")
    await silent.end(new)
    await silent.end(old)
    assert (old.interruption, new.interruption) == ("lost", None)
    assert [(i, data.get("text")) for i, _, data in await keys.stream(new.id)] == [("2-0", None), ("2-1", "in time")]


async def test_another_attempt_does_not_disturb_the_other_turns_of_a_flush(
    silent: EventPublisher, redis: Redis, keys: Any
) -> None:
    lost, fine = a_turn(), a_turn()
    await EventPublisher(redis).begin(a_turn(2, lost.id), "turn", {})
    say(silent, lost, "too late")
    say(silent, fine, "Hello")
    flushing = asyncio.create_task(silent.run())
    await stream_with(keys, fine, 1)
    await until(lambda: lost.interruption, "the flush is over")
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    assert (lost.interruption, fine.interruption) == ("lost", None)


async def test_while_redis_is_away_events_are_dropped_and_later_ones_go_on_with_their_offsets(
    redis_by_relay: Redis, valkey_relay: Any, keys: Any
) -> None:
    publisher = EventPublisher(redis_by_relay)
    turn = a_turn()
    await publisher.begin(turn, "turn", beginning(turn))
    await valkey_relay.cut()
    say(publisher, turn, "lost on the way, ")
    await publisher.end(turn)
    await valkey_relay.mend()
    say(publisher, turn, "back again")
    await publisher.end(turn)
    assert (await keys.stream(turn.id))[1:] == [("1-2", "delta", {"offset": 17, "text": "back again"})]
    assert turn.interruption is None


async def test_a_flusher_survives_redis_going_away(redis_by_relay: Redis, valkey_relay: Any, keys: Any) -> None:
    publisher = EventPublisher(redis_by_relay)
    flushing = asyncio.create_task(publisher.run())
    turn, late = a_turn(), a_turn()
    await valkey_relay.cut()
    say(publisher, turn, "lost")
    await publisher.begin(turn, "turn", beginning(turn))
    await valkey_relay.mend()
    say(publisher, late, "Hello")
    assert await stream_with(keys, late, 1) == [("1-0", "delta", {"offset": 0, "text": "Hello"})]
    assert not flushing.done()
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)


async def test_a_flusher_survives_an_event_that_is_no_json(publisher: EventPublisher, keys: Any) -> None:
    broken, fine = a_turn(), a_turn()
    say(publisher, broken, "half \ud83d")
    await until(lambda: broken.has_spoken, "it was told")
    say(publisher, fine, "Hello")
    await publisher.end(fine)
    assert [kind for _, kind, _ in await keys.stream(fine.id)] == ["delta"]
    say(publisher, fine, " again")
    await stream_with(keys, fine, 2)


async def test_a_stream_that_redis_lost_is_made_anew_and_does_not_live_for_ever(
    silent: EventPublisher, redis: Redis, keys: Any
) -> None:
    turn = a_turn()
    await silent.begin(turn, "turn", beginning(turn))
    await redis.delete(turn_stream(turn.id))
    say(silent, turn, "Hello")
    turn.expire_again_at = 0.0  # a minute later
    flushing = asyncio.create_task(silent.run())
    assert await stream_with(keys, turn, 1) == [("1-1", "delta", {"offset": 0, "text": "Hello"})]
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    assert 0 < await redis.ttl(turn_stream(turn.id)) <= 3600


async def test_an_abandoned_turn_sends_nothing_more_and_its_stream_does_not_live_for_ever(
    silent: EventPublisher, redis: Redis, keys: Any
) -> None:
    turn = a_turn()
    await silent.begin(turn, "turn", beginning(turn))
    await redis.persist(turn_stream(turn.id))
    say(silent, turn, "not any more")
    await silent.abandon(turn)
    assert [kind for _, kind, _ in await keys.stream(turn.id)] == ["turn"]
    assert 0 < await redis.ttl(turn_stream(turn.id)) <= 3600


async def test_a_last_event_without_a_worker_comes_after_all_others_even_into_an_empty_stream(
    silent: EventPublisher, redis: Redis, keys: Any
) -> None:
    running, empty = a_turn(), TurnId(new_id())
    await silent.begin(running, "turn", beginning(running))
    await publish_last(redis, running.id, 1, "end", {"length": 0})
    await publish_last(redis, empty, 0, "end", {"length": 0})
    assert [entry_id for entry_id, _, _ in await keys.stream(running.id)] == ["1-0", "1-1"]
    assert await keys.stream(empty) == [("0-1", "end", {"length": 0})]


async def test_a_last_event_is_dropped_while_redis_is_away(redis_away: Redis) -> None:
    await publish_last(redis_away, TurnId(new_id()), 1, "end", {"length": 0})
