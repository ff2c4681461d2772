"""What one reader of a turn is told next: a state machine over Redis entries and chat's snapshots. No I/O in here.

Redis is quick and may lose anything; chat's snapshot is the truth and up to 2 s late. The reader holds a text, of which
`position` code points are with it already.

| what comes | what the reader is told |
|---|---|
| a snapshot, first | `turn`, and what the next lines say |
| a snapshot, queued | `queued`, when the place is new |
| a snapshot, running | the text that is new, if it goes on from what the reader has |
| a snapshot of a later attempt | its text: what is new, or `restart` and all of it |
| a snapshot, ended | what is missing of the text, chunks and usage not told yet, the terminal event |
| an entry of an earlier attempt than seen | nothing |
| `delta` that begins before `position` | what of it is after `position`, often nothing |
| … and says other words than the reader has | `restart` at its offset, and it: a snapshot was of an older text |
| `delta` that begins at `position` | it, as it came |
| `delta` or `restart` beyond `position` | nothing yet: it is held until a snapshot covers the gap (`wants_snapshot`) |
| `delta` after a hole in the ids | the same: what is missing may have been a `restart` |
| `restart` to the beginning, or within an attempt | it; the text after its offset is forgotten |
| `restart` that opens an attempt in the middle | it, when a snapshot has confirmed the text before its offset |
| a terminal event whose length is `position` | it, and the turn is over |
| a terminal event of another length | nothing yet: a snapshot is wanted, which tells the rest |
| anything else | it, as it came |

With a last event id the reader has a text that is not known here. Entries that follow the id without a hole go on from
there; after a hole, or when Redis has none, the whole text comes from a snapshot.

A snapshot that fills a hole must hold the words of the first entry after it: an older one may be of a text that was
replaced.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from gateway.turn_streams import BEGINNING, Entry, EntryId
from wire.contracts.chat import ENDED_STATES, Turn
from wire.turn_events import TERMINAL, Kind, TurnData, encode, stream_id

MAX_HELD = 5000
TERMINAL_KINDS = frozenset(kind.encode() for kind in TERMINAL)

SOON_S = 0.5
QUEUED_S = 2.0
QUIET_S = 5.0
RESUMED_S = 2.5
"""Longer than a checkpoint takes: then a snapshot is no older than what the reader has."""


class TurnEvent(NamedTuple):
    """One event for the reader. `id` is set for those that were in Redis: the reader can go on after it."""

    kind: str
    data: bytes
    id: str | None = None


class TurnFollower:
    """Feed it with `take_entry` and `take_snapshot`, and pass on what `told` gives."""

    def __init__(self, *, resume_after: EntryId | None = None) -> None:
        self.ended = False
        self.wants_snapshot = False
        """Something can only be told after a fresh snapshot."""
        self._last: EntryId = resume_after or BEGINNING
        self._attempt = self._last[0]
        self._queued = False
        self._place: int | None = None
        self._base = 0
        """Where the part of the text begins that is known here."""
        self._text: list[str] = []
        self._position: int | None = 0 if resume_after is None else None
        """`None`: where the reader stands is not known, see the module."""
        self._is_sure = True
        """The entries go on from the text that the reader has: nothing was missed that could have replaced it."""
        self._held: list[Entry] = []
        self._told_usage = False
        self._told_chunks = False
        self._out: list[TurnEvent] = []

    @property
    def patience_s(self) -> float:
        """How long to wait for an entry before a snapshot is worth asking for."""
        if self.wants_snapshot:
            return SOON_S
        if self._queued:
            return QUEUED_S
        return RESUMED_S if self._position is None else QUIET_S

    @property
    def position(self) -> int:
        return self._position or 0

    def told(self) -> list[TurnEvent]:
        """What the reader is to be told now, in order."""
        out, self._out = self._out, []
        return out

    def begin(self, turn: Turn) -> None:
        """The first snapshot. A reader who comes back is better served by Redis, which has each event for some time."""
        self._tell("turn", turn_data(turn))
        if self._position is not None:
            self._attempt = turn.attempt
            self.take_snapshot(turn)

    def take_snapshot(self, turn: Turn) -> None:
        if self.ended or turn.attempt < self._attempt:
            return
        if turn.state in ENDED_STATES:
            return self._finish(turn)
        self._queued = turn.state == "queued"
        if self._queued:
            return self._tell_place(turn)
        if turn.attempt > self._attempt:
            self._begin_attempt(turn)
            self._take_held(self._held)
        elif self._held:
            self._release_held(turn)
        else:
            self.wants_snapshot = False
            self._go_on_with(turn.text)

    def take_entry(self, entry: Entry) -> None:
        if self.ended or entry.attempt < self._attempt:
            return
        if self._held:
            return self._hold(entry)
        self._note(entry)
        if entry.kind == b"delta":
            self._take_delta(entry)
        elif entry.kind == b"restart":
            self._take_restart(entry)
        elif entry.kind in TERMINAL_KINDS:
            self._take_end(entry)
        else:
            self._told_usage = self._told_usage or entry.kind == b"usage"
            self._told_chunks = self._told_chunks or entry.kind == b"chunk"
            self._pass_on(entry)

    def _note(self, entry: Entry) -> None:
        """Where the stream is now. An attempt opens with `<attempt>-0`, and from there on each id follows another."""
        if entry.seq > 0 and entry.id != (self._last[0], self._last[1] + 1) and self._position != 0:
            self._is_sure = False
        if entry.attempt > self._attempt:
            self._attempt = entry.attempt
            self._told_chunks = False
        self._last, self._queued = entry.id, False

    def _take_delta(self, entry: Entry) -> None:
        offset, text = delta_of(entry)
        if not self._is_sure:
            return self._hold(entry)
        if self._position is None:
            self._base = self._position = offset
        if offset > self._position:
            return self._hold(entry)
        if offset == self._position:
            self._append(text)
            return self._pass_on(entry)
        if not self._has(offset, text):
            self._tell("restart", {"attempt": self._attempt, "offset": offset, "reason": "provider_retry"})
            self._cut(offset)
        rest = text[self._position - offset :]
        if rest:
            event_data = encode({"offset": self._position, "text": rest})
            self._append(rest)
            self._out.append(TurnEvent("delta", event_data, stream_id(*entry.id)))

    def _take_restart(self, entry: Entry) -> None:
        offset = int(orjson.loads(entry.data)["offset"])
        opens_attempt = entry.seq == 0
        if offset > 0 and (opens_attempt or not self._is_sure or self._position is None or offset > self._position):
            return self._hold(entry)
        self._is_sure = True
        self._cut(offset)
        self._pass_on(entry)

    def _take_end(self, entry: Entry) -> None:
        length = int(orjson.loads(entry.data)["length"])
        if not self._is_sure or (self._position is not None and length != self._position):
            self.wants_snapshot = True
            return
        self.ended = True
        self._pass_on(entry)

    def _hold(self, entry: Entry) -> None:
        self._held.append(entry)
        del self._held[:-MAX_HELD]
        self.wants_snapshot = True

    def _release_held(self, turn: Turn) -> None:
        """What was held goes on, if the snapshot reaches to where it begins and is of the same text."""
        first, *others = self._held
        if first.kind == b"restart":
            offset = int(orjson.loads(first.data)["offset"])
            if len(turn.text) < offset:
                return
            self._agree_on(turn.text[:offset])
            self._pass_on(first)
            self._last = first.id
            return self._take_held(others)
        if first.kind == b"delta" and not holds(turn.text, *delta_of(first)):
            return
        self._agree_on(turn.text)
        self._last = first.attempt, first.seq - 1
        self._take_held([first, *others])

    def _take_held(self, entries: Sequence[Entry]) -> None:
        self._held = []
        self.wants_snapshot = False
        for entry in entries:
            self.take_entry(entry)

    def _finish(self, turn: Turn) -> None:
        self._attempt = turn.attempt
        self._agree_on(turn.text)
        if not self._told_chunks:
            for chunk in turn.chunks:
                self._tell("chunk", chunk)
        if turn.usage is not None and not self._told_usage:
            self._tell("usage", turn.usage.model_dump())
        self._tell_end(turn)
        self.ended, self.wants_snapshot = True, False

    def _tell_end(self, turn: Turn) -> None:
        length = len(turn.text)
        if turn.state == "failed":
            error = turn.error
            self._tell(
                "error",
                {
                    "code": "failed" if error is None else error.code,
                    "message": "The answer could not be finished." if error is None else error.message,
                    "retryable": error is None or error.retryable,
                    "length": length,
                },
            )
        else:
            reason = turn.finish_reason or ("stop" if turn.state == "complete" else "stopped")
            self._tell("end", {"state": turn.state, "length": length, "finish_reason": reason})

    def _tell_place(self, turn: Turn) -> None:
        if turn.place is not None and turn.place != self._place:
            self._place = turn.place
            self._tell("queued", {"place": turn.place})

    def _begin_attempt(self, turn: Turn) -> None:
        """Told with the id that opens the attempt: a reader who comes back goes on with its first words."""
        opening = stream_id(turn.attempt, 0)
        if self._attempt == 0:
            self._tell("turn", turn_data(turn), opening)
        self._attempt = turn.attempt
        self._told_chunks = False
        self._agree_on(turn.text, opening)

    def _agree_on(self, text: str, event_id: str | None = None) -> None:
        """From here on the reader's text is `text`."""
        self._is_sure = True
        if self._position is None or not text.startswith(self._known(), self._base):
            self._tell("restart", {"attempt": self._attempt, "offset": 0, "reason": "worker_lost"}, event_id)
            self._base, self._text, self._position = 0, [], 0
        self._tell_text(text[self._position :], event_id)

    def _go_on_with(self, text: str) -> None:
        """A snapshot of the same attempt may be older than what the reader has: then it says nothing new."""
        if self._position is None:
            self._base = self._position = 0
            self._tell_text(text)
        elif len(text) > self._position and text.startswith(self._known(), self._base):
            self._tell_text(text[self._position :])

    def _tell_text(self, text: str, event_id: str | None = None) -> None:
        if text:
            self._tell("delta", {"offset": self.position, "text": text}, event_id)
            self._append(text)

    def _append(self, text: str) -> None:
        self._text.append(text)
        self._position = self.position + len(text)

    def _has(self, offset: int, words: str) -> bool:
        """Whether the reader's text agrees with `words`, as far as it reaches and is known here."""
        if offset < self._base:
            return True
        overlap = self._known()[offset - self._base : offset - self._base + len(words)]
        return words.startswith(overlap)

    def _cut(self, offset: int) -> None:
        self._text = [self._known()[: max(0, offset - self._base)]]
        self._base = min(self._base, offset) if self._position is not None else offset
        self._position = offset

    def _known(self) -> str:
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    def _pass_on(self, entry: Entry) -> None:
        self._out.append(TurnEvent(entry.kind.decode(), entry.data, stream_id(*entry.id)))

    def _tell(self, kind: Kind, data: object, event_id: str | None = None) -> None:
        self._out.append(TurnEvent(kind, encode(data), event_id))


def delta_of(entry: Entry) -> tuple[int, str]:
    delta: dict[str, Any] = orjson.loads(entry.data)
    return int(delta["offset"]), str(delta["text"])


def holds(text: str, offset: int, words: str) -> bool:
    return text[offset : offset + len(words)] == words


def turn_data(turn: Turn) -> TurnData:
    return {
        "turn_id": turn.id,
        "conversation_id": turn.conversation_id,
        "message_id": turn.id,
        "person_message_id": turn.person_message_id,
        "model": turn.model,
        "attempt": turn.attempt,
        "trace_id": turn.trace_id,
        "state": turn.state,
    }
