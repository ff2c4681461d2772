"""One reader of Redis for all turns that this process follows.

However many people watch however many turns, one connection waits in one `XREAD`. Each subscription gets the entries of
its turn's stream after the id it names, in order, each once.

| event | what happens |
|---|---|
| a turn is followed that nobody followed yet | the reader's wait is cut short (`CLIENT UNBLOCK`), the stream is added |
| … that somebody follows already | what came before is read by itself (`XRANGE`), the rest comes with everybody's |
| a subscriber is slow and its queue full | its queue is dropped; it reads what it missed from Redis when it is ready |
| Redis is away or flushed | `away` says so, nothing comes; the reader tries again with a growing pause |
| the process drains | every subscription ends |

Not promised: that nothing is missing. Redis may lose entries at any moment; offsets tell, see `turn_follower`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from wire.ids import TurnId
from wire.log import get_logger
from wire.redis_keys import turn_stream
from wire.turn_events import DATA_FIELD, KIND_FIELD

BLOCK_MS = 5000
READ_TIMEOUT_S = BLOCK_MS / 1000 + 5
"""A read that takes longer has lost its connection without noticing."""
BATCH = 500
QUEUE_ENTRIES = 2000
UNBLOCK_PAUSE_S = 0.002
MANY_STREAMS = 50
GATHER_S = 0.01
"""With many streams there is always something: a short pause lets one read bring the news of several."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

EntryId = tuple[int, int]
BEGINNING: EntryId = (0, 0)
"""Redis takes no entry `0-0`, so everything comes after it."""

log = get_logger(__name__)


class Entry(NamedTuple):
    attempt: int
    seq: int
    kind: bytes
    data: bytes

    @property
    def id(self) -> EntryId:
        return self.attempt, self.seq


class Subscription:
    """The entries of one turn for one reader."""

    def __init__(self, turn: TurnId, redis: Redis, after: EntryId) -> None:
        self.turn = turn
        self.ended = False
        """The process drains: nothing more comes."""
        self._redis = redis
        self._after = after
        self._queue: deque[Entry] = deque()
        self._missing_to: EntryId | None = None
        """What lies between `_after` and here is not in the queue and must be read from Redis."""
        self._something = asyncio.Event()

    async def entries(self, timeout_s: float) -> list[Entry]:
        """What has come, at least one entry unless the time is over, the process drains or Redis is away."""
        if not self._queue and self._missing_to is None and not self.ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._something.wait()
        self._something.clear()
        if self._missing_to is None:
            found = list(self._queue)
            self._queue.clear()
        else:
            found = await self._missing(timeout_s)
        fresh = [entry for entry in found if entry.id > self._after]
        if fresh:
            self._after = fresh[-1].id
        return fresh

    def put(self, entries: list[Entry]) -> None:
        if self._missing_to is not None or len(self._queue) + len(entries) > QUEUE_ENTRIES:
            self._queue.clear()
            self._missing_to = entries[-1].id
        else:
            self._queue.extend(entries)
        self._something.set()

    def end(self) -> None:
        self.ended = True
        self._something.set()

    def miss(self, to: EntryId) -> None:
        """What came up to `to` was read before this subscription began."""
        if to > self._after:
            self._missing_to = to

    async def _missing(self, timeout_s: float) -> list[Entry]:
        wanted = self._missing_to
        low = b"(%d-%d" % self._after
        try:
            raw: Any = await self._redis.execute_command("XRANGE", turn_stream(self.turn), low, "+", "COUNT", BATCH)
        except (RedisError, OSError):
            await asyncio.sleep(min(timeout_s, FIRST_PAUSE_S))
            return []
        entries = [entry_of(entry_id, fields) for entry_id, fields in raw]
        caught_up = self._missing_to is not None and bool(entries) and entries[-1].id >= self._missing_to
        if caught_up or (len(entries) < BATCH and self._missing_to == wanted):
            self._missing_to = None
        return entries


class TurnStreams:
    """Run `run` in a task for as long as the process serves."""

    def __init__(self, redis: Redis, blocking: Redis) -> None:
        self.away = False
        """Redis could not be read at the last try."""
        self._redis = redis
        self._blocking = blocking
        self._following: dict[bytes, set[Subscription]] = {}
        self._read_to: dict[bytes, EntryId] = {}
        self._changed = asyncio.Event()
        self._version = 0
        self._version_in_wait = 0
        """Of the set of streams that the read under way waits for."""
        self._reader_id: int | None = None
        self._waker: asyncio.Task[None] | None = None
        self._draining = False

    @asynccontextmanager
    async def subscribe(self, turn: TurnId, *, after: EntryId) -> AsyncGenerator[Subscription]:
        """While the block runs, entries after `after` come to the subscription."""
        key = turn_stream(turn).encode()
        subscription = Subscription(turn, self._redis, after)
        self._join(key, subscription, after)
        try:
            yield subscription
        finally:
            self._leave(key, subscription)

    def drain(self) -> None:
        """Every subscription ends, now and from now on."""
        self._draining = True
        for subscriptions in self._following.values():
            for subscription in subscriptions:
                subscription.end()

    async def run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with self._blocking.client() as connection:
                    self._reader_id = await connection.client_id()
                    while True:
                        await self._read(connection)
                        self.away, pause_s = False, FIRST_PAUSE_S
            except (RedisError, OSError) as error:
                if not self.away:
                    log.warning("redis is away, turns are followed through chat", error=type(error).__name__)
                self.away, self._reader_id = True, None
                self._version_in_wait = self._version
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _read(self, connection: Redis) -> None:
        """Waits for entries of any stream that is followed and hands them out."""
        while not self._read_to:
            self._changed.clear()
            await self._changed.wait()
        self._version_in_wait = self._version
        keys = list(self._read_to)
        ids = [b"%d-%d" % self._read_to[key] for key in keys]
        async with asyncio.timeout(READ_TIMEOUT_S):  # its TimeoutError is an OSError
            answer: Any = await connection.execute_command(
                "XREAD", "COUNT", BATCH, "BLOCK", BLOCK_MS, "STREAMS", *keys, *ids
            )
        for key, raw in answer or ():
            self._hand_out(key, [entry_of(entry_id, fields) for entry_id, fields in raw])
        if len(keys) > MANY_STREAMS:
            await asyncio.sleep(GATHER_S)

    def _hand_out(self, key: bytes, entries: list[Entry]) -> None:
        if key not in self._read_to or not entries:
            return
        self._read_to[key] = entries[-1].id
        for subscription in self._following[key]:
            subscription.put(entries)

    def _join(self, key: bytes, subscription: Subscription, after: EntryId) -> None:
        if self._draining:
            subscription.end()
        others = self._following.setdefault(key, set())
        others.add(subscription)
        if key in self._read_to:
            subscription.miss(self._read_to[key])
            return
        self._read_to[key] = after
        self._version += 1
        self._changed.set()
        if self._waker is None or self._waker.done():
            self._waker = asyncio.create_task(self._wake_reader(), name="wake the turn reader")

    def _leave(self, key: bytes, subscription: Subscription) -> None:
        others = self._following[key]
        others.discard(subscription)
        if not others:
            del self._following[key], self._read_to[key]

    async def _wake_reader(self) -> None:
        """The reader waits for the newest set of streams. Its wait may begin just after a wake-up: so until it does."""
        while self._version_in_wait != self._version:
            reader = self._reader_id
            if reader is None:
                return
            try:
                await self._redis.client_unblock(reader)
            except (RedisError, OSError):
                return
            await asyncio.sleep(UNBLOCK_PAUSE_S)


def entry_of(entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    attempt, _, seq = entry_id.partition(b"-")
    return Entry(int(attempt), int(seq), fields[KIND_FIELD], fields[DATA_FIELD])
