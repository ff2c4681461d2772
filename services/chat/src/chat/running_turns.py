"""The turns that this worker process answers right now, and what it holds of each.

Everything here is also in PostgreSQL, at most one lease renewal old, so that it may vanish with the process.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from wire.ids import TurnId
from wire.turn_events import ChunkData

Interruption = Literal["stopped", "lost"]


@dataclass(slots=True, eq=False)
class RunningTurn:
    """An answer in the making, under one attempt. `length` counts code points, as offsets do."""

    id: TurnId
    attempt: int
    parts: list[str] = field(default_factory=list[str])
    length: int = 0
    chunks: list[ChunkData] = field(default_factory=list[ChunkData])
    interruption: Interruption | None = None
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    next_seq: int = 0
    has_spoken: bool = False
    """Its first text is on its way to the readers."""
    expire_again_at: float = 0.0
    """When its stream's lifetime is set again, by the monotonic clock."""
    checkpointed_length: int = 0
    withdrawn: str = ""
    """What was said and can't be saved: the provider is paid for it all the same."""

    def append(self, text: str) -> int:
        """The text grows; returns the offset where `text` starts."""
        offset = self.length
        self.parts.append(text)
        self.length += len(text)
        return offset

    def restart_at(self, text: str) -> None:
        """The answer begins anew with `text`, what is kept of the attempt before."""
        self.parts = [text] if text else []
        self.length = len(text)
        self.chunks = []

    def withdraw(self) -> None:
        """Nothing of the answer is kept."""
        self.withdrawn = self.text
        self.restart_at("")

    @property
    def text(self) -> str:
        if len(self.parts) > 1:
            self.parts = ["".join(self.parts)]
        return self.parts[0] if self.parts else ""

    def take_seq(self) -> int:
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def interrupt(self, why: Interruption) -> None:
        """The provider's stream is left at once. A turn that is lost stays lost, whatever comes after."""
        if self.interruption != "lost":
            self.interruption = why
        self.interrupted.set()


class RunningTurns:
    """By turn id. An attempt that is still here when the next one begins has lost the turn."""

    def __init__(self) -> None:
        self._turns: dict[TurnId, RunningTurn] = {}

    def add(self, turn: RunningTurn) -> None:
        earlier = self._turns.get(turn.id)
        if earlier is not None:
            earlier.interrupt("lost")
        self._turns[turn.id] = turn

    def remove(self, turn: RunningTurn) -> None:
        if self._turns.get(turn.id) is turn:
            del self._turns[turn.id]

    def get(self, turn: TurnId) -> RunningTurn | None:
        return self._turns.get(turn)

    def all(self) -> list[RunningTurn]:
        return list(self._turns.values())


def chunk_data(delta: dict[str, Any], logprobs: object) -> ChunkData:
    return {"delta": delta} if logprobs is None else {"delta": delta, "logprobs": logprobs}
