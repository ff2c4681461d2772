"""Turns, entries and what a reader makes of them, as the tests of this folder write them down."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.turn_follower import TurnEvent
from gateway.turn_streams import Entry
from wire.contracts.chat import Turn, TurnError, TurnUsage
from wire.ids import new_id
from wire.turn_events import encode

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
USAGE = TurnUsage(model="alpha", prompt_tokens=3, completion_tokens=5, total_tokens=8)
FAILURE = TurnError(code="provider_failed", message="The provider had an error.", retryable=True)


def turn(state: str = "running", text: str = "", *, attempt: int = 1, **fields: Any) -> Turn:
    known: dict[str, Any] = {
        "id": new_id(),
        "conversation_id": new_id(),
        "person_message_id": new_id(),
        "state": state,
        "model": "alpha",
        "attempt": attempt,
        "text": text,
        "created_at": NOON,
        "finish_reason": "stop" if state == "complete" else None,
    }
    return Turn.model_validate(known | fields)


def delta(seq: int, offset: int, text: str, *, attempt: int = 1) -> Entry:
    return Entry(attempt, seq, b"delta", encode({"offset": offset, "text": text}))


def entry(seq: int, kind: str, data: dict[str, Any], *, attempt: int = 1) -> Entry:
    return Entry(attempt, seq, kind.encode(), encode(data))


def end(seq: int, length: int, *, attempt: int = 1) -> Entry:
    return entry(seq, "end", {"state": "complete", "length": length, "finish_reason": "stop"}, attempt=attempt)


def restart(attempt: int, offset: int, *, seq: int = 0) -> Entry:
    return entry(seq, "restart", {"attempt": attempt, "offset": offset, "reason": "worker_lost"}, attempt=attempt)


def told(events: Iterable[TurnEvent]) -> list[tuple[str, Any]]:
    """Kind and data; of a delta its offset and text, of others what matters in these tests."""
    return [(event.kind, _gist(event.kind, orjson.loads(event.data))) for event in events]


def text_of(events: Iterable[TurnEvent]) -> str:
    """The text that a reader holds who began with nothing. Fails on a gap."""
    text = ""
    for event in events:
        data = orjson.loads(event.data)
        if event.kind == "delta":
            assert data["offset"] <= len(text), "a gap"
            text = text[: data["offset"]] + data["text"]
        elif event.kind == "restart":
            text = text[: data["offset"]]
    return text


def _gist(kind: str, data: dict[str, Any]) -> Any:
    match kind:
        case "delta":
            return data["offset"], data["text"]
        case "turn":
            return data["attempt"]
        case "queued":
            return data["place"]
        case "restart":
            return data["offset"]
        case "end" | "error":
            return data["length"]
        case _:
            return data
