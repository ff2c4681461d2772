"""The protocol of a turn's events: one table for the Redis stream, for SSE and for the browser's reader.

| kind | data | terminal |
|---|---|---|
| `turn` | `TurnData`: ids, model, attempt, trace; first always, again when a worker claims the turn (`1-0`) | |
| `queued` | `QueuedData`: how many turns stand before it | |
| `delta` | `DeltaData`: text and the offset where it starts | |
| `chunk` | `ChunkData`: what a provider streams beside plain text | |
| `restart` | `RestartData`: what follows replaces the text from `offset` on (opens an attempt ≥ 2: `<attempt>-0`) | |
| `switch` | `SwitchData`: another model goes on, and why | |
| `usage` | `UsageData`: tokens and money of the answer | |
| `title` | `TitleData`: the conversation's new title | |
| `end` | `EndData`: how it ended and how long the text is | yes |
| `error` | `ErrorData`: a sentence for a person, and whether trying again helps | yes |

Offsets and lengths count Unicode code points. An event that was in Redis has the id `<attempt>-<seq>`, in Redis and in
SSE alike; ids grow, so Redis refuses duplicates and whatever a superseded worker writes once its successor has written.
A reader drops an event of a lower attempt than it has seen.

In Redis an entry has two fields: `e`, the kind, and `d`, the data as JSON. In SSE an event is
`id: <attempt>-<seq>`, `event: <kind>`, `data: <JSON on one line>` and an empty line. A comment is sent every
`HEARTBEAT_S` seconds; after a terminal event the server closes.
"""

from typing import Any, Final, Literal, NotRequired, TypedDict

import orjson

Kind = Literal["turn", "queued", "delta", "chunk", "restart", "switch", "usage", "title", "end", "error"]
TERMINAL: Final[frozenset[str]] = frozenset({"end", "error"})

HEARTBEAT_S: Final = 15.0
HEARTBEAT: Final = b": keep-alive\n\n"

KIND_FIELD: Final = b"e"
DATA_FIELD: Final = b"d"


class TurnData(TypedDict):
    turn_id: str
    conversation_id: str
    message_id: str
    person_message_id: str
    model: str
    attempt: int
    state: str
    trace_id: str | None


class QueuedData(TypedDict):
    place: int


class DeltaData(TypedDict):
    offset: int
    text: str


class ChunkData(TypedDict):
    delta: dict[str, Any]
    logprobs: NotRequired[Any]


class RestartData(TypedDict):
    attempt: int
    offset: int
    reason: Literal["worker_lost", "provider_retry", "not_saved"]


class SwitchData(TypedDict):
    from_model: str
    to_model: str
    reason: str


class UsageData(TypedDict):
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: str | None
    source: Literal["reported", "estimated", "recovered"]


class TitleData(TypedDict):
    title: str


class EndData(TypedDict):
    state: Literal["complete", "stopped"]
    length: int
    finish_reason: str


class ErrorData(TypedDict):
    code: str
    message: str
    retryable: bool
    length: int


DATA_OF: Final[dict[Kind, type]] = {
    "turn": TurnData,
    "queued": QueuedData,
    "delta": DeltaData,
    "chunk": ChunkData,
    "restart": RestartData,
    "switch": SwitchData,
    "usage": UsageData,
    "title": TitleData,
    "end": EndData,
    "error": ErrorData,
}


def stream_id(attempt: int, seq: int) -> str:
    return f"{attempt}-{seq}"


def parse_stream_id(text: str) -> tuple[int, int]:
    """The `(attempt, seq)` of an id such as `2-17`.

    Raises:
        ValueError: it is not two non-negative decimal numbers, each below 2⁶³.
    """
    attempt, dash, seq = text.partition("-")
    if not dash or not (attempt.isascii() and attempt.isdigit() and seq.isascii() and seq.isdigit()):
        raise ValueError("an event id looks like 1-42")
    if len(attempt) > 18 or len(seq) > 18:
        raise ValueError("an event id's numbers are too large")
    return int(attempt), int(seq)


def encode(data: object) -> bytes:
    """JSON on one line: JSON escapes CR and LF inside strings, so the SSE frame can't be broken by text."""
    return orjson.dumps(data)


def sse_frame(kind: str, data: bytes, event_id: str | None = None) -> bytes:
    """One SSE event as bytes; `data` is what `encode` gave."""
    if event_id is None:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event_id.encode(), kind.encode(), data)
