import httpx
import pytest

from parts.event_stream import BrokenStream, TurnEvent, TurnReader, events_of

FIRST = TurnEvent("0-0", "turn", {"turn_id": "t"})


def delta(event_id: str, offset: int, text: str) -> TurnEvent:
    return TurnEvent(event_id, "delta", {"offset": offset, "text": text})


def read(*events: TurnEvent) -> TurnReader:
    reader = TurnReader()
    for event in (FIRST, *events):
        reader.take(event)
    return reader


def test_text_that_is_known_already_is_not_taken_twice() -> None:
    assert read(delta("1-1", 0, "one "), delta("1-2", 0, "one two"), delta("1-3", 2, "e")).text == "one two"


def test_a_restart_replaces_the_text_from_its_offset_on() -> None:
    restart = TurnEvent("2-0", "restart", {"attempt": 2, "offset": 1, "reason": "worker_lost"})
    assert read(delta("1-1", 0, "old"), restart, delta("2-1", 1, "ther")).text == "other"


def test_an_event_of_a_lower_attempt_is_dropped() -> None:
    assert read(delta("2-1", 0, "new"), delta("1-9", 3, " old")).text == "new"


def test_offsets_count_code_points() -> None:
    assert read(delta("1-1", 0, "🙂🙂"), delta("1-2", 2, "!")).text == "🙂🙂!"


def test_a_gap_and_a_wrong_length_are_complained_of() -> None:
    with pytest.raises(BrokenStream, match="a gap"):
        read(delta("1-1", 5, "late"))
    with pytest.raises(BrokenStream, match="the end says 9"):
        read(TurnEvent("1-9", "end", {"state": "complete", "length": 9, "finish_reason": "stop"}))


async def test_a_stream_is_split_at_line_feeds_alone() -> None:
    body = ': keep-alive\n\nid: 1-1\nevent: delta\ndata: {"text":"a\u2028b","offset":0}\n\n'.encode()
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    assert [event async for event in events_of(response)] == [delta("1-1", 0, "a\u2028b")]
