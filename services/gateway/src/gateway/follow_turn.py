"""Follows a turn to its end, for a page's stream and for `/v1` alike.

Redis brings what is new within milliseconds; chat is asked when Redis has a hole, is silent or away. What is told in
which order is decided in `turn_follower`; here is the waiting.

Ends after the terminal event. Ends without one when the process drains, or when neither Redis nor chat could be asked
for `MAX_BLIND_S`: the reader comes back with the id of the last event it has.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from gateway.chat_client import ChatClient
from gateway.turn_follower import TurnEvent, TurnFollower
from gateway.turn_streams import BEGINNING, Entry, EntryId, TurnStreams
from wire.contracts.chat import Turn
from wire.ids import PersonId, TurnId
from wire.log import get_logger
from wire.problems import Problem
from wire.telemetry.profiling import profile
from wire.turn_events import HEARTBEAT, HEARTBEAT_S, encode, sse_frame

AWAY_S = 1.0
"""Without Redis chat is asked this often: a checkpoint comes every 2 s."""
MAX_BLIND_S = 120.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Followable:
    """What following needs of the process."""

    chat: ChatClient
    streams: TurnStreams

    async def snapshot(self, person: PersonId, turn: TurnId) -> Turn | None:
        """The turn as chat has it now; `None` when chat can't be asked.

        Raises:
            Problem: 404, the turn is gone.
        """
        try:
            return await self.chat.turn(person, turn)
        except Problem as problem:
            if problem.status == 404:
                raise
            return None


class _Waiting:
    """How long to wait for what, while one turn is followed."""

    def __init__(self, follower: TurnFollower, streams: TurnStreams) -> None:
        self._follower = follower
        self._streams = streams
        self._clock = asyncio.get_running_loop().time
        self._heard_at = self._told_at = self._clock()
        self._ask_at = self._heard_at + follower.patience_s

    @property
    def timeout_s(self) -> float:
        return max(0.0, min(self._ask_at, self._told_at + HEARTBEAT_S) - self._clock())

    @property
    def wants_snapshot(self) -> bool:
        return self._clock() >= self._ask_at

    @property
    def wants_heartbeat(self) -> bool:
        return self._clock() - self._told_at >= HEARTBEAT_S

    @property
    def is_in_vain(self) -> bool:
        return self._clock() - self._heard_at > MAX_BLIND_S

    def took(self, entries: Sequence[Entry]) -> None:
        """The follower takes the entries. The first that needs a snapshot needs it at once."""
        if not entries:
            return
        wanted_before = self._follower.wants_snapshot
        for entry in entries:
            self._follower.take_entry(entry)
        self._heard_at = self._clock()
        if not self._follower.wants_snapshot:
            self._ask_at = self._heard_at + self._follower.patience_s
        elif not wanted_before:
            self._ask_at = self._heard_at

    def took_snapshot(self, snapshot: Turn | None) -> None:
        """The follower takes the snapshot, if chat gave one."""
        if snapshot is not None:
            self._follower.take_snapshot(snapshot)
            self._heard_at = self._clock()
        patience_s = self._follower.patience_s
        self._ask_at = self._clock() + (min(patience_s, AWAY_S) if self._streams.away else patience_s)

    def told(self) -> list[TurnEvent]:
        """What the follower tells now."""
        events = self._follower.told()
        if events or self.wants_heartbeat:
            self._told_at = self._clock()
        return events


async def follow_turn(
    tools: Followable, person: PersonId, turn: Turn, *, resume_after: EntryId | None = None
) -> AsyncGenerator[list[TurnEvent]]:
    """What happens in the turn, in batches; an empty batch says that nothing has for `HEARTBEAT_S`.

    `turn` is a snapshot of now. With `resume_after` only what came after that event is told.
    """
    turn_id = TurnId(turn.id)
    if resume_after is not None and resume_after[0] > turn.attempt:
        resume_after = None  # no event of ours has that id
    follower = TurnFollower(resume_after=resume_after)
    follower.begin(turn)
    if follower.ended:
        yield follower.told()
        return
    async with tools.streams.subscribe(turn_id, after=resume_after or BEGINNING) as subscription:
        waiting = _Waiting(follower, tools.streams)
        yield waiting.told()
        while not follower.ended:
            waiting.took(await subscription.entries(waiting.timeout_s))
            if subscription.ended:
                return
            if waiting.wants_heartbeat:
                yield waiting.told()
            elif told := waiting.told():
                yield told
            if not waiting.wants_snapshot or follower.ended:
                continue
            try:
                waiting.took_snapshot(await tools.snapshot(person, turn_id))
            except Problem as gone:
                yield [_gone(gone, follower.position)]
                return
            if told := waiting.told():
                yield told
            if waiting.is_in_vain:
                log.warning("turn can't be followed", turn_id=turn_id)
                return


@profile(tags={"operation": "answer", "phase": "deliver"})
async def generate_stream_chunks(events: AsyncGenerator[list[TurnEvent]]) -> AsyncGenerator[bytes]:
    """The events as the bytes of an SSE stream: one write for each batch, a comment where nothing happens."""
    async with aclosing(events):
        async for batch in events:
            if batch:
                yield b"".join([sse_frame(event.kind, event.data, event.id) for event in batch])
            else:
                yield HEARTBEAT


def _gone(problem: Problem, length: int) -> TurnEvent:
    data = {"code": problem.code, "message": "This answer was deleted.", "retryable": False, "length": length}
    return TurnEvent("error", encode(data))
