"""A reader of a turn's events that keeps the protocol's rules as a browser must, and complains when they are broken.

See `wire.turn_events` for the table.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from wire.turn_events import TERMINAL, parse_stream_id

MEDIA_TYPE = "text/event-stream"


class BrokenStream(AssertionError):
    """The server sent what the protocol does not allow."""


@dataclass(frozen=True, slots=True)
class TurnEvent:
    id: str | None
    kind: str
    data: dict[str, Any]


@dataclass(slots=True)
class TurnReader:
    """What a reader knows of a turn: feed it events, in the order in which they came.

    It may be fed a second stream of the same turn, as a reader does that reconnects.
    """

    text: str = ""
    attempt: int = 0
    last_event_id: str | None = None
    turn: dict[str, Any] | None = None
    end: TurnEvent | None = None
    """The terminal event."""
    events: list[TurnEvent] = field(default_factory=list[TurnEvent])

    def take(self, event: TurnEvent) -> None:
        """Raises BrokenStream: an event after the end, a gap in the text, a first event that is not `turn`."""
        self.events.append(event)
        if self.end is not None:
            raise BrokenStream(f"{event} came after {self.end}")
        if self.turn is None and event.kind != "turn":
            raise BrokenStream(f"the first event is {event}")
        if event.id is not None:
            attempt, _seq = parse_stream_id(event.id)
            if attempt < self.attempt:
                return
            self.attempt = attempt
            self.last_event_id = event.id
        self._apply(event)

    def _apply(self, event: TurnEvent) -> None:
        match event.kind:
            case "turn":
                self.turn = event.data
            case "delta":
                self._append(event.data["offset"], event.data["text"])
            case "restart":
                self.text = self.text[: event.data["offset"]]
            case kind if kind in TERMINAL:
                self.end = event
                if event.data["length"] != len(self.text):
                    raise BrokenStream(f"the end says {event.data['length']} characters, {len(self.text)} came")
            case _:
                pass

    def _append(self, offset: int, text: str) -> None:
        if offset > len(self.text):
            raise BrokenStream(f"a gap: text from {offset} on came, {len(self.text)} characters are known")
        self.text += text[len(self.text) - offset :]

    def kinds(self) -> list[str]:
        """The kinds of the events in their order, a row of the same kind once."""
        kinds = [event.kind for event in self.events]
        return [kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] != kind]

    def datas(self, kind: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.kind == kind]


async def events_of(response: httpx.Response) -> AsyncIterator[TurnEvent]:
    """The events of an open SSE response until the server closes it. Comments are no events."""
    if not response.headers.get("content-type", "").startswith(MEDIA_TYPE):
        raise BrokenStream(f"no event stream: {response.status_code} {(await response.aread())[:500]!r}")
    fields: dict[str, str] = {}
    async for line in _lines_of(response):
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "event" in fields:
            yield TurnEvent(fields.get("id"), fields["event"], orjson.loads(fields["data"]))
            fields = {}


async def _lines_of(response: httpx.Response) -> AsyncIterator[str]:
    """Lines that end with LF. (`aiter_lines` would split at every line separator of Unicode, which JSON may hold.)"""
    rest = b""
    async for part in response.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode()
