"""Puts the events of all turns of this process into their Redis streams: one flusher, one pipeline a window.

The first text of a turn goes out at once, later ones in windows of `WINDOW_S`; texts of one window become one delta.
Redis may be away: what can't be sent is dropped, since readers notice the gap by its offset and take the text from the
database. An id that Redis refuses as too old means that another attempt has begun: the turn is lost to us.

A stream that Redis lost is made anew by the next event, so its lifetime is set again now and then.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from chat.running_turns import RunningTurn
from wire.ids import TurnId
from wire.log import get_logger
from wire.redis_keys import ENDED_STREAM_TTL_S, RUNNING_STREAM_TTL_S, turn_stream
from wire.telemetry.spans import report_error
from wire.turn_events import DATA_FIELD, KIND_FIELD, ChunkData, Kind, encode, stream_id

WINDOW_S = 0.025
EXPIRE_AGAIN_S = 60.0
TOO_OLD = "equal or smaller"

log = get_logger(__name__)


@dataclass(slots=True)
class _Pending:
    """What one turn has to say since the last flush, in order; a text and its offset stand for a delta."""

    turn: RunningTurn
    events: list[tuple[Kind, bytes]] = field(default_factory=list[tuple[Kind, bytes]])
    texts: list[str] = field(default_factory=list[str])
    offset: int = 0
    ttl_s: int | None = None

    def add_text(self, offset: int, text: str) -> None:
        if not self.texts:
            self.offset = offset
        self.texts.append(text)

    def add(self, kind: Kind, data: bytes) -> None:
        self.close_text()
        self.events.append((kind, data))

    def close_text(self) -> None:
        if self.texts:
            self.events.append(("delta", encode({"offset": self.offset, "text": "".join(self.texts)})))
            self.texts = []


class EventPublisher:
    """Call `run` in a task; the other methods never wait for it, but for `begin`, `end` and `abandon`."""

    def __init__(self, redis: Redis, *, window_s: float = WINDOW_S) -> None:
        self._redis = redis
        self._window_s = window_s
        self._pending: dict[RunningTurn, _Pending] = {}
        self._something = asyncio.Event()
        self._first_text = asyncio.Event()
        self._writing = asyncio.Lock()
        """One pipeline at a time: two at once could reach Redis in the wrong order, and it would refuse the older."""

    async def run(self) -> None:
        while True:
            await self._something.wait()
            try:
                await self._flush()
            except Exception as error:  # the end of a unit of work: one event that can't be sent must not end all
                log.error("events could not be sent", error=type(error).__name__)
                report_error(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._window_s):
                    await self._first_text.wait()

    async def begin(self, turn: RunningTurn, kind: Kind, data: object) -> None:
        """`<attempt>-0` is in the stream: from here on Redis refuses whatever an earlier attempt writes."""
        self._of(turn).add(kind, encode(data))
        await self._send(turn, RUNNING_STREAM_TTL_S)

    def text(self, turn: RunningTurn, offset: int, text: str) -> None:
        self._of(turn).add_text(offset, text)
        self._something.set()
        if not turn.has_spoken:
            turn.has_spoken = True
            self._first_text.set()

    def chunk(self, turn: RunningTurn, data: ChunkData) -> None:
        self.event(turn, "chunk", data)

    def event(self, turn: RunningTurn, kind: Kind, data: object) -> None:
        self._of(turn).add(kind, encode(data))
        self._something.set()

    async def end(self, turn: RunningTurn) -> None:
        """Everything that was said of the turn is in its stream, which lives on for a while only."""
        await self._send(turn, ENDED_STREAM_TTL_S)

    async def abandon(self, turn: RunningTurn) -> None:
        """What is pending of a turn that is not ours any more is not sent; what was sent does not stay for ever."""
        self.forget(turn)
        await self._send(turn, RUNNING_STREAM_TTL_S)

    def forget(self, turn: RunningTurn) -> None:
        self._pending.pop(turn, None)

    def _of(self, turn: RunningTurn) -> _Pending:
        pending = self._pending.get(turn)
        if pending is None:
            pending = self._pending[turn] = _Pending(turn)
        return pending

    async def _flush(self) -> None:
        async with self._writing:
            batch, self._pending = self._pending, {}
            self._something.clear()
            self._first_text.clear()
            now = time.monotonic()
            for turn, pending in batch.items():
                if now >= turn.expire_again_at:
                    turn.expire_again_at, pending.ttl_s = now + EXPIRE_AGAIN_S, RUNNING_STREAM_TTL_S
            await self._write(list(batch.values()))

    async def _send(self, turn: RunningTurn, ttl_s: int) -> None:
        async with self._writing:
            pending = self._pending.pop(turn, None) or _Pending(turn)
            pending.ttl_s = ttl_s
            turn.expire_again_at = time.monotonic() + EXPIRE_AGAIN_S
            await self._write([pending])

    async def _write(self, batch: list[_Pending]) -> None:
        owners: list[RunningTurn] = []
        async with self._redis.pipeline(transaction=False) as pipe:
            for pending in batch:
                pending.close_text()
                key = turn_stream(pending.turn.id)
                for kind, data in pending.events:
                    entry_id = stream_id(pending.turn.attempt, pending.turn.take_seq())
                    pipe.xadd(key, {KIND_FIELD: kind, DATA_FIELD: data}, id=entry_id)
                    owners.append(pending.turn)
                if pending.ttl_s is not None:
                    pipe.expire(key, pending.ttl_s)
                    owners.append(pending.turn)
            if not owners:
                return
            try:
                results = await pipe.execute(raise_on_error=False)
            except (RedisError, OSError) as error:
                log.warning("redis is away, events are dropped", events=len(owners), error=type(error).__name__)
                return
        for turn, result in zip(owners, results, strict=True):
            if isinstance(result, ResponseError) and TOO_OLD in str(result):
                turn.interrupt("lost")


async def publish_last(redis: Redis, turn: TurnId, attempt: int, kind: Kind, data: object) -> None:
    """A terminal event of a turn that no worker answers, after whatever its stream holds."""
    key = turn_stream(turn)
    try:
        async with redis.pipeline(transaction=False) as pipe:
            pipe.xadd(key, {KIND_FIELD: kind, DATA_FIELD: encode(data)}, id=f"{attempt}-*")
            pipe.expire(key, ENDED_STREAM_TTL_S)
            await pipe.execute()
    except (RedisError, OSError) as error:
        log.warning("the end of a turn is not published, readers ask for it", turn_id=turn, error=type(error).__name__)
