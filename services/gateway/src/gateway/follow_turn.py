"""Follows a turn to its end, for a page's stream and for `/v1` alike.

Redis brings what is new within milliseconds; chat is asked when Redis has a hole, is silent or away. What is told in
which order is decided in `turn_follower`; here is the waiting.

Ends after the terminal event. Ends without one when the process drains, or when neither Redis nor chat could be asked
for `MAX_BLIND_S`: the reader comes back with the id of the last event it has.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.chat_client import ChatClient
from gateway.turn_follower import TurnEvent, TurnFollower
from gateway.turn_streams import BEGINNING, EntryId, TurnStreams
from wire.contracts.chat import Turn
from wire.ids import PersonId, TurnId
from wire.log import get_logger
from wire.problems import Problem
from wire.turn_events import HEARTBEAT, HEARTBEAT_S, encode, sse_frame

AWAY_S = 1.0
"""Without Redis chat is asked this often: a checkpoint comes every 2 s."""
MAX_BLIND_S = 120.0

log = get_logger(__name__)


class Followable:
    """What following needs of the process."""

    def __init__(self, chat: ChatClient, streams: TurnStreams) -> None:
        self.chat = chat
        self.streams = streams

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


async def follow_turn(
    tools: Followable, person: PersonId, turn: Turn, *, resume_after: EntryId | None = None
) -> AsyncGenerator[list[TurnEvent]]:
    """What happens in the turn, in batches; an empty batch says that nothing has for `HEARTBEAT_S`.

    `turn` is a snapshot of now. With `resume_after` only what came after that event is told.
    """
    turn_id = TurnId(turn.id)
    follower = TurnFollower(resume_after=resume_after)
    follower.begin(turn)
    if follower.ended:
        yield follower.told()
        return
    clock = asyncio.get_running_loop().time
    async with tools.streams.subscribe(turn_id, after=resume_after or BEGINNING) as subscription:
        yield follower.told()
        heard_at = told_at = clock()
        ask_at = heard_at + follower.patience_s
        while not follower.ended:
            entries = await subscription.entries(max(0.0, min(ask_at, told_at + HEARTBEAT_S) - clock()))
            if subscription.ended:
                return
            wanted_snapshot = follower.wants_snapshot
            for entry in entries:
                follower.take_entry(entry)
            now = clock()
            if entries:
                heard_at = now
                if not follower.wants_snapshot:
                    ask_at = now + follower.patience_s
                elif not wanted_snapshot:
                    ask_at = now
            if now >= ask_at and not follower.ended:
                if told := follower.told():
                    yield told
                try:
                    snapshot = await tools.snapshot(person, turn_id)
                except Problem as gone:
                    yield [_gone(gone, follower.position)]
                    return
                now = clock()
                if snapshot is not None:
                    heard_at = now
                    follower.take_snapshot(snapshot)
                ask_at = now + (min(follower.patience_s, AWAY_S) if tools.streams.away else follower.patience_s)
            told = follower.told()
            if told or now - told_at >= HEARTBEAT_S:
                yield told
                told_at = now
            if now - heard_at > MAX_BLIND_S:
                log.warning("turn can't be followed", turn_id=turn_id)
                return


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
