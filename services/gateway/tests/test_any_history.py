"""Whatever Redis loses and whenever workers die, a reader ends with the turn's text and was never shown a gap."""

import random
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from gateway.turn_follower import TurnFollower
from gateway.turn_streams import BEGINNING, Entry
from wire.contracts.chat import Turn
from wire.turn_events import parse_stream_id

from .turns import delta, end, entry, restart, turn

SEEDS = 400


@dataclass(slots=True)
class World:
    """A turn as its workers write it: the truth, its checkpoint, and what is in Redis."""

    dice: random.Random
    text: str = ""
    checkpoint: str = ""
    attempt: int = 1
    seq: int = 0
    said: int = 0
    ended: bool = False
    stream: list[Entry] = field(default_factory=list[Entry])

    def publish(self, entry: Entry) -> None:
        self.seq = entry.seq
        if self.dice.random() > 0.15:
            self.stream.append(entry)

    def say(self) -> None:
        self.said += 1
        word = f" 👩‍🚀{self.said:03}"[-self.dice.randint(3, 7) :]  # never said before, so no text is like another
        self.publish(delta(self.seq + 1, len(self.text), word, attempt=self.attempt))
        self.text += word

    def save_checkpoint(self) -> None:
        self.checkpoint = self.text

    def take_over(self) -> None:
        """Another worker goes on from the checkpoint, or from nothing."""
        self.attempt += 1
        kept = len(self.checkpoint) if self.dice.random() < 0.5 else 0
        self.text = self.checkpoint = self.checkpoint[:kept]
        self.publish(restart(self.attempt, kept))

    def begin_again(self) -> None:
        """The same worker asks its provider again."""
        self.text = ""
        self.publish(restart(self.attempt, 0, seq=self.seq + 1))

    def flush(self) -> None:
        self.stream.clear()

    def finish(self) -> None:
        self.ended = True
        self.publish(end(self.seq + 1, len(self.text), attempt=self.attempt))

    def snapshot(self) -> Turn:
        if self.ended:
            return turn("complete", self.text, attempt=self.attempt)
        return turn("running", self.checkpoint, attempt=self.attempt)

    def step(self) -> None:
        steps = (self.save_checkpoint, self.take_over, self.begin_again, self.flush)
        if self.dice.random() < 0.75:
            self.say()
        else:
            self.dice.choice(steps)()


class Gap(Exception):
    """Words are missing before a delta."""


class Reader:
    """A browser: it appends and cuts as the protocol says. Where words are missing it begins anew."""

    def __init__(self, world: World) -> None:
        self.text = ""
        self.is_over = False
        self.connections = 0
        self._world = world
        self._last_event_id: str | None = None
        self.connect()

    def connect(self) -> None:
        """A new stream, from the last event on if there was one."""
        self.connections += 1
        last = None if self._last_event_id is None else parse_stream_id(self._last_event_id)
        self._after = last or BEGINNING
        self._follower = TurnFollower(resume_after=last)
        self._follower.begin(self._world.snapshot())
        self._hear_what_is_told()

    def hear(self) -> None:
        """Some of what Redis has comes."""
        unread = [left for left in self._world.stream if left.id > self._after]
        for heard in unread[: self._world.dice.randint(0, len(unread))]:
            self._take(heard)

    def ask(self) -> None:
        """Chat is asked, if that is wanted or the silence was long: then longer than a checkpoint takes."""
        is_silent = self._world.dice.random() < 0.1
        if is_silent:
            self._world.save_checkpoint()
        if self._follower.wants_snapshot or is_silent:
            self._follower.take_snapshot(self._world.snapshot())
            self._hear_what_is_told()

    def hear_to_the_end(self) -> None:
        """All that is left in Redis comes, and if that was not the end, chat tells of it."""
        for heard in [left for left in self._world.stream if left.id > self._after]:
            self._take(heard)
        if not self.is_over:
            self._follower.take_snapshot(self._world.snapshot())
            self._hear_what_is_told()

    def _take(self, entry: Entry) -> None:
        self._after = entry.id
        self._follower.take_entry(entry)
        self._hear_what_is_told()

    def _hear_what_is_told(self) -> None:
        try:
            for event in self._follower.told():
                assert not self.is_over, "something was told after the end"
                self._last_event_id = event.id or self._last_event_id
                self._apply(event.kind, orjson.loads(event.data))
        except Gap:
            assert self.connections > 1, "a gap in the first stream"
            self._last_event_id = None
            self.connect()

    def _apply(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "delta":
            if data["offset"] > len(self.text):
                raise Gap
            held = self.text[data["offset"] :]
            if not held.startswith(data["text"]):
                self.text = self.text[: data["offset"]] + data["text"]
        elif kind == "restart":
            self.text = self.text[: data["offset"]]
        elif kind == "end":
            self.is_over = True
            if data["length"] != len(self.text):
                assert self.connections > 1, "the first stream ended without its whole text"
                self.text = self._world.text  # read from the turn


def history(seed: int, *, reconnects: float) -> tuple[World, Reader]:
    """A turn from its claim to its end, and a reader who loses the connection now and then."""
    world = World(random.Random(seed))
    world.publish(entry(0, "turn", {"attempt": 1}))
    reader = Reader(world)
    for _ in range(60):
        world.step()
        if world.dice.random() < 0.6:
            reader.hear()
        reader.ask()
        if world.dice.random() < reconnects:
            reader.connect()
    world.finish()
    reader.hear_to_the_end()
    return world, reader


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_reader_ends_with_the_text(seed: int) -> None:
    world, reader = history(seed, reconnects=0)
    assert (reader.text, reader.is_over) == (world.text, True)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_reader_who_comes_back_ends_with_the_text(seed: int) -> None:
    world, reader = history(seed, reconnects=0.1)
    assert (reader.text, reader.is_over) == (world.text, True)
