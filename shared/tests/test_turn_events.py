"""The protocol of a turn's events: ids, frames and what each kind carries."""

from typing import Any, get_args, get_type_hints

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from wire.turn_events import DATA_OF, HEARTBEAT, TERMINAL, Kind, encode, parse_stream_id, sse_frame, stream_id

EXAMPLES: dict[Kind, list[dict[str, Any]]] = {
    "turn": [
        {
            "turn_id": "t",
            "conversation_id": "c",
            "message_id": "t",
            "person_message_id": "p",
            "model": "alpha",
            "attempt": 0,
            "state": "queued",
            "trace_id": None,
        }
    ],
    "queued": [{"place": 0}],
    "delta": [{"offset": 0, "text": "Hello"}],
    "chunk": [{"delta": {"tool_calls": []}}, {"delta": {"reasoning": "Hm"}, "logprobs": {"content": []}}],
    "restart": [{"attempt": 2, "offset": 0, "reason": "worker_lost"}],
    "switch": [{"from_model": "alpha", "to_model": "beta", "reason": "user"}],
    "usage": [
        {
            "model": "alpha",
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
            "cost_usd": None,
            "source": "reported",
        }
    ],
    "title": [{"title": "Greetings"}],
    "end": [{"state": "complete", "length": 5, "finish_reason": "stop"}],
    "error": [{"code": "provider_down", "message": "Try again.", "retryable": True, "length": 0}],
}
HOSTILE_TEXT = "one\r\ntwo\rthree\n\nevent: end\ndata: {}\n\n\u2028\u2029\u0085\0🙂"


def model_of(kind: Kind) -> type[BaseModel]:
    """The kind's TypedDict as a model that takes it exactly. (pydantic reads a TypedDict from Python 3.12 on only.)"""
    data = DATA_OF[kind]
    required: frozenset[str] = data.__required_keys__  # pyright: ignore[reportAttributeAccessIssue]
    fields: dict[str, Any] = {
        name: (hint, ... if name in required else None) for name, hint in get_type_hints(data).items()
    }
    return create_model(kind, __config__=ConfigDict(extra="forbid", strict=True), **fields)


def test_every_kind_has_its_data() -> None:
    assert set(DATA_OF) == set(get_args(Kind)) == set(EXAMPLES)
    assert {"end", "error"} == TERMINAL


@pytest.mark.parametrize(("kind", "data"), [(kind, data) for kind, datas in EXAMPLES.items() for data in datas])
def test_the_data_of_every_kind_survives_a_frame(kind: Kind, data: dict[str, Any]) -> None:
    frame = sse_frame(kind, encode(data), "1-2")

    id_line, event_line, data_line, empty, rest = frame.split(b"\n")
    assert (id_line, event_line, empty, rest) == (b"id: 1-2", f"event: {kind}".encode(), b"", b"")
    assert (
        model_of(kind).model_validate(orjson.loads(data_line.removeprefix(b"data: "))).model_dump(exclude_unset=True)
        == data
    )


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_field_that_is_missing_breaks_the_protocol(kind: Kind) -> None:
    for field in EXAMPLES[kind][0]:
        with pytest.raises(ValidationError):
            model_of(kind).model_validate({k: v for k, v in EXAMPLES[kind][0].items() if k != field})


def test_a_frame_without_an_id_has_no_id_line() -> None:
    assert sse_frame("queued", encode({"place": 1})) == b'event: queued\ndata: {"place":1}\n\n'


def test_a_frame_has_exactly_these_bytes() -> None:
    assert sse_frame("title", encode({"title": "Grüße"}), "3-14") == (
        'id: 3-14\nevent: title\ndata: {"title":"Grüße"}\n\n'.encode()
    )


def test_no_text_can_break_a_frame() -> None:
    frame = sse_frame("delta", encode({"offset": 0, "text": HOSTILE_TEXT}), "1-1")

    assert frame.count(b"\n") == 4
    assert b"\r" not in frame
    assert orjson.loads(frame.split(b"\n")[2].removeprefix(b"data: "))["text"] == HOSTILE_TEXT


def test_a_heartbeat_is_a_comment() -> None:
    assert HEARTBEAT == b": keep-alive\n\n"


def test_an_id_names_its_attempt_and_its_place() -> None:
    assert stream_id(2, 17) == "2-17"
    assert parse_stream_id("2-17") == (2, 17)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1-", "-1", "-1-1", "1-2-3", "a-1", "1-b", " 1-2", "1-2 ", "+1-2", "1.0-2", "１-2", "²-1", "1-2\n"],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an event id looks like 1-42"):
        parse_stream_id(text)


def test_an_id_that_redis_could_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        parse_stream_id("1-" + "9" * 19)
