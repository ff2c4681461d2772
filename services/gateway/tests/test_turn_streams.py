"""The one reader of Redis: who follows gets every entry after the id it names, in order, each once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.turn_streams import BATCH, BEGINNING, QUEUE_ENTRIES, EntryId, Subscription, TurnStreams
from local.stack import Stack
from wire.ids import TurnId, new_id
from wire.queue import connect_blocking
from wire.redis_keys import turn_stream
from wire.turn_events import DATA_FIELD, KIND_FIELD


@pytest.fixture
async def streams(stack: Stack, redis: Redis) -> AsyncIterator[TurnStreams]:
    blocking = connect_blocking(stack.url("valkey"))
    streams = TurnStreams(redis, blocking)
    running = asyncio.create_task(streams.run())
    yield streams
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await blocking.aclose()


@pytest.fixture
def turn_id() -> TurnId:
    return TurnId(new_id())


async def write(redis: Redis, turn: TurnId, seqs: range, *, attempt: int = 1) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        for seq in seqs:
            pipe.xadd(turn_stream(turn), {KIND_FIELD: b"delta", DATA_FIELD: b"%d" % seq}, id=f"{attempt}-{seq}")
        await pipe.execute()


async def read(subscription: Subscription, last: EntryId) -> list[int]:
    """The numbers of the entries up to `last`."""
    seqs: list[int] = []
    async with asyncio.timeout(20):
        while True:
            for entry in await subscription.entries(5):
                assert entry.data == b"%d" % entry.seq
                seqs.append(entry.seq)
                if entry.id == last:
                    return seqs


async def test_what_was_there_and_what_comes_is_read_once(streams: TurnStreams, redis: Redis, turn_id: TurnId) -> None:
    await write(redis, turn_id, range(1, 4))
    async with streams.subscribe(turn_id, after=BEGINNING) as subscription:
        assert await read(subscription, (1, 3)) == [1, 2, 3]
        await write(redis, turn_id, range(4, 6))
        assert await read(subscription, (1, 5)) == [4, 5]


async def test_a_reader_begins_after_the_id_it_names(streams: TurnStreams, redis: Redis, turn_id: TurnId) -> None:
    await write(redis, turn_id, range(1, 6))
    async with streams.subscribe(turn_id, after=(1, 3)) as subscription:
        assert await read(subscription, (1, 5)) == [4, 5]


async def test_one_who_joins_later_gets_what_came_before(streams: TurnStreams, redis: Redis, turn_id: TurnId) -> None:
    await write(redis, turn_id, range(1, 4))
    async with streams.subscribe(turn_id, after=BEGINNING) as first:
        await read(first, (1, 3))
        async with streams.subscribe(turn_id, after=(1, 1)) as second:
            assert await read(second, (1, 3)) == [2, 3]
            await write(redis, turn_id, range(4, 5))
            assert [await read(first, (1, 4)), await read(second, (1, 4))] == [[4], [4]]


async def test_one_who_joins_while_entries_come_misses_none(
    streams: TurnStreams, redis: Redis, turn_id: TurnId
) -> None:
    async def joins_late() -> list[int]:
        await asyncio.sleep(0)
        async with streams.subscribe(turn_id, after=BEGINNING) as subscription:
            return await read(subscription, (1, 300))

    async with streams.subscribe(turn_id, after=BEGINNING) as first:
        joining: list[asyncio.Task[list[int]]] = []
        for seq in range(1, 301):
            await write(redis, turn_id, range(seq, seq + 1))
            if seq % 50 == 0:
                joining.append(asyncio.create_task(joins_late()))
        expected = list(range(1, 301))
        assert await read(first, (1, 300)) == expected
        assert await asyncio.gather(*joining) == [expected] * len(joining)


async def test_a_slow_reader_reads_again_what_its_queue_could_not_hold(
    streams: TurnStreams, redis: Redis, turn_id: TurnId
) -> None:
    count = QUEUE_ENTRIES * 2 + BATCH
    async with (
        streams.subscribe(turn_id, after=BEGINNING) as slow,
        streams.subscribe(turn_id, after=BEGINNING) as quick,
    ):
        for start in range(1, count, BATCH):
            await write(redis, turn_id, range(start, start + BATCH))
            await read(quick, (1, start + BATCH - 1))
        assert await read(slow, (1, count)) == list(range(1, count + 1))


async def test_entries_after_a_flush_come_too(streams: TurnStreams, redis: Redis, turn_id: TurnId) -> None:
    await write(redis, turn_id, range(1, 4))
    async with streams.subscribe(turn_id, after=BEGINNING) as subscription:
        await read(subscription, (1, 3))
        await redis.delete(turn_stream(turn_id))
        await write(redis, turn_id, range(9, 11))
        assert await read(subscription, (1, 10)) == [9, 10]


async def test_many_turns_are_followed_at_once(streams: TurnStreams, redis: Redis) -> None:
    turns = [TurnId(new_id()) for _ in range(120)]

    async def follow(turn: TurnId) -> list[int]:
        async with streams.subscribe(turn, after=BEGINNING) as subscription:
            return await read(subscription, (1, 5))

    following = [asyncio.create_task(follow(turn)) for turn in turns]
    for seq in range(1, 6):
        await asyncio.gather(*(write(redis, turn, range(seq, seq + 1)) for turn in turns))
    assert await asyncio.gather(*following) == [[1, 2, 3, 4, 5]] * len(turns)


async def test_a_drain_ends_every_subscription_now_and_later(streams: TurnStreams, turn_id: TurnId) -> None:
    async with streams.subscribe(turn_id, after=BEGINNING) as before:
        streams.drain()
        assert (await before.entries(20), before.ended) == ([], True)
    async with streams.subscribe(turn_id, after=BEGINNING) as after:
        assert (await after.entries(20), after.ended) == ([], True)


async def test_silence_is_over_in_time(streams: TurnStreams, turn_id: TurnId) -> None:
    async with streams.subscribe(turn_id, after=BEGINNING) as subscription:
        assert await subscription.entries(0.05) == []
