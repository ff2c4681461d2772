"""What a reader is told, entry by entry and snapshot by snapshot."""

from typing import Any

import orjson
import pytest

from gateway.turn_follower import QUEUED_S, QUIET_S, RESUMED_S, SOON_S, TurnEvent, TurnFollower
from wire.contracts.chat import Turn

from .turns import FAILURE, USAGE, delta, end, entry, restart, text_of, told, turn


def following(first: Turn | None = None, *, resume_after: tuple[int, int] | None = None) -> TurnFollower:
    """A follower whose reader has been told the first snapshot."""
    follower = TurnFollower(resume_after=resume_after)
    follower.begin(first or turn())
    follower.told()
    return follower


def take(follower: TurnFollower, *entries: Any) -> list[TurnEvent]:
    for taken in entries:
        follower.take_entry(taken)
    return follower.told()


def see(follower: TurnFollower, snapshot: Turn) -> list[TurnEvent]:
    follower.take_snapshot(snapshot)
    return follower.told()


def test_the_first_event_names_the_turn_and_its_ids() -> None:
    first = turn("queued", attempt=0, place=2, trace_id="ab" * 16)
    follower = TurnFollower()
    follower.begin(first)
    [named, queued] = follower.told()
    assert orjson.loads(named.data) == {
        "turn_id": first.id,
        "conversation_id": first.conversation_id,
        "message_id": first.id,
        "person_message_id": first.person_message_id,
        "model": "alpha",
        "attempt": 0,
        "trace_id": "ab" * 16,
        "state": "queued",
    }
    assert told([queued]) == [("queued", 2)]


def test_a_turn_that_has_ended_is_told_whole() -> None:
    follower = TurnFollower()
    chunk = {"delta": {"tool_calls": []}}
    follower.begin(turn("complete", "Hello", usage=USAGE, chunks=[chunk]))
    assert told(follower.told()) == [
        ("turn", 1),
        ("delta", (0, "Hello")),
        ("chunk", chunk),
        ("usage", USAGE.model_dump()),
        ("end", 5),
    ]
    assert follower.ended


def test_a_turn_that_has_failed_ends_with_the_error_for_the_person() -> None:
    follower = TurnFollower()
    follower.begin(turn("failed", "Hel", error=FAILURE))
    assert orjson.loads(follower.told()[-1].data) == {
        "code": "provider_failed",
        "message": "The provider had an error.",
        "retryable": True,
        "length": 3,
    }


def test_a_stopped_turn_ends_with_its_state() -> None:
    follower = TurnFollower()
    follower.begin(turn("stopped", "Hel"))
    assert orjson.loads(follower.told()[-1].data) == {"state": "stopped", "length": 3, "finish_reason": "stopped"}


def test_a_reader_who_comes_late_gets_the_checkpoint_at_once() -> None:
    follower = TurnFollower()
    follower.begin(turn("running", "Hello"))
    assert told(follower.told()) == [("turn", 1), ("delta", (0, "Hello"))]


def test_a_place_in_the_queue_is_told_when_it_changes() -> None:
    follower = following(turn("queued", attempt=0, place=2))
    assert told(see(follower, turn("queued", attempt=0, place=2))) == []
    assert told(see(follower, turn("queued", attempt=0, place=1))) == [("queued", 1)]


def test_a_claim_comes_as_redis_has_it() -> None:
    follower = following(turn("queued", attempt=0, place=0))
    claim = entry(0, "turn", {"attempt": 1})
    assert take(follower, claim) == [TurnEvent("turn", claim.data, "1-0")]


def test_a_delta_that_goes_on_is_passed_through_untouched() -> None:
    follower = following()
    first, second = delta(1, 0, "Hel"), delta(2, 3, "lo")
    assert take(follower, first, second) == [
        TurnEvent("delta", first.data, "1-1"),
        TurnEvent("delta", second.data, "1-2"),
    ]


def test_a_delta_that_the_reader_has_is_dropped() -> None:
    follower = following(turn("running", "Hello"))
    claim = entry(0, "turn", {})
    assert told(take(follower, claim, delta(1, 0, "Hel"), delta(2, 3, "lo"), end(3, 5))[1:]) == [("end", 5)]


def test_of_a_delta_that_the_reader_has_in_part_the_rest_is_told() -> None:
    follower = following(turn("running", "Hel"))
    [event] = take(follower, entry(0, "turn", {}), delta(1, 0, "Hello"))[1:]
    assert (told([event]), event.id) == ([("delta", (3, "lo"))], "1-1")


def test_a_delta_that_says_other_words_than_an_old_snapshot_replaces_them() -> None:
    follower = following(turn("running", "Hexlo"))
    events = take(follower, entry(0, "turn", {}), delta(1, 0, "He"), delta(2, 2, "l"))[1:]
    assert told(events) == [("restart", 2), ("delta", (2, "l"))]


def test_offsets_count_code_points() -> None:
    follower = following()
    events = take(follower, delta(1, 0, "👩‍🚀é"), delta(2, 4, "!"), end(3, 5))
    assert text_of(events) == "👩‍🚀é!"
    assert follower.ended


def test_a_gap_is_filled_from_a_snapshot_before_the_delta_is_told() -> None:
    follower = following()
    take(follower, delta(1, 0, "He"))
    assert take(follower, delta(5, 4, "o"), delta(6, 5, "!")) == []
    assert follower.wants_snapshot
    assert told(see(follower, turn("running", "Hello"))) == [("delta", (2, "llo")), ("delta", (5, "!"))]
    assert not follower.wants_snapshot


@pytest.mark.parametrize("old", ["He", "Hell", "Good old text"])
def test_a_snapshot_without_the_words_after_the_gap_is_not_enough(old: str) -> None:
    follower = following()
    take(follower, delta(5, 4, "o"))
    assert see(follower, turn("running", old)) == []
    assert follower.wants_snapshot
    assert follower.patience_s == SOON_S


def test_after_a_hole_in_the_ids_nothing_is_trusted_before_a_snapshot() -> None:
    """What is missing may have been a restart: the same offsets can be of another text."""
    follower = following()
    take(follower, delta(1, 0, "Hello"))
    assert take(follower, delta(4, 2, "od")) == []
    assert told(see(follower, turn("running", "Good"))) == [("restart", 0), ("delta", (0, "Good"))]
    assert told(take(follower, delta(5, 4, "!"), end(6, 5))) == [("delta", (4, "!")), ("end", 5)]


def test_an_end_after_a_hole_is_told_by_chat() -> None:
    follower = following()
    take(follower, delta(1, 0, "Hello"))
    assert take(follower, end(9, 5)) == []
    assert told(see(follower, turn("complete", "World"))) == [("restart", 0), ("delta", (0, "World")), ("end", 5)]


def test_a_snapshot_beyond_the_gap_is_not_told_twice() -> None:
    follower = following()
    take(follower, delta(5, 4, "o"), delta(6, 5, "!?"))
    assert text_of(see(follower, turn("running", "Hello!"))) == "Hello!?"


def test_a_restart_forgets_the_text_after_its_offset() -> None:
    follower = following()
    again = delta(1, 0, "Hello world", attempt=2)
    events = take(follower, delta(1, 0, "Hxllo"), restart(2, 0), again, end(2, 11, attempt=2))
    assert text_of(events) == "Hello world"
    assert follower.ended


def test_an_attempt_that_goes_on_in_the_middle_is_told_when_the_text_before_is_confirmed() -> None:
    follower = following()
    events = take(follower, delta(1, 0, "Hello wrld"), restart(2, 6), delta(1, 6, "world", attempt=2))
    assert (text_of(events), follower.wants_snapshot) == ("Hello wrld", True)
    events += see(follower, turn("running", "Hello ", attempt=2))
    events += take(follower, end(2, 11, attempt=2))
    assert (text_of(events), follower.ended) == ("Hello world", True)


def test_an_entry_of_an_earlier_attempt_is_dropped() -> None:
    follower = following()
    take(follower, delta(1, 0, "Hel"), restart(2, 0))
    assert take(follower, delta(2, 3, "lo")) == []


def test_a_restart_beyond_what_the_reader_has_waits_for_the_text_before_it() -> None:
    follower = following()
    take(follower, delta(1, 0, "He"))
    assert take(follower, restart(2, 4), delta(1, 4, "p!", attempt=2)) == []
    events = see(follower, turn("running", "Hellp", attempt=2))
    assert told(events) == [("delta", (2, "ll")), ("restart", 4), ("delta", (4, "p!"))]


def test_a_snapshot_of_a_later_attempt_with_other_words_replaces_the_text() -> None:
    follower = following()
    take(follower, delta(1, 0, "Hello"))
    assert told(see(follower, turn("running", "Good", attempt=2))) == [("restart", 0), ("delta", (0, "Good"))]


def test_an_attempt_that_only_chat_tells_of_has_the_id_that_opens_it() -> None:
    follower = following()
    take(follower, delta(1, 0, "Hello"))
    events = see(follower, turn("running", "Good", attempt=2))
    assert [(event.kind, event.id) for event in events] == [("restart", "2-0"), ("delta", "2-0")]


def test_a_snapshot_of_a_later_attempt_that_goes_on_adds_what_is_new() -> None:
    follower = following()
    take(follower, delta(1, 0, "Hel"))
    assert told(see(follower, turn("running", "Hello", attempt=2))) == [("delta", (3, "lo"))]


def test_a_restart_after_its_snapshot_leaves_the_right_text() -> None:
    follower = following()
    events = take(follower, delta(1, 0, "Hello"))
    events += see(follower, turn("running", "Good da", attempt=2))
    events += take(follower, restart(2, 0), delta(1, 0, "Good day", attempt=2), end(2, 8, attempt=2))
    assert text_of(events) == "Good day"


def test_without_redis_the_text_goes_on_by_snapshots() -> None:
    follower = following(turn("queued", attempt=0))
    events = see(follower, turn("running", "He"))
    events += see(follower, turn("running", "Hello"))
    events += see(follower, turn("complete", "Hello!", usage=USAGE))
    assert [kind for kind, _ in told(events)] == ["turn", "delta", "delta", "delta", "usage", "end"]
    assert text_of(events) == "Hello!"


def test_an_older_snapshot_takes_nothing_back() -> None:
    follower = following()
    take(follower, delta(1, 0, "Hello"))
    assert see(follower, turn("running", "He")) == []


def test_an_end_of_the_length_that_was_told_ends_it() -> None:
    follower = following()
    last = end(2, 5)
    assert take(follower, delta(1, 0, "Hello"), last)[-1] == TurnEvent("end", last.data, "1-2")
    assert follower.ended


def test_an_end_of_another_length_is_told_after_the_missing_text() -> None:
    follower = following()
    assert told(take(follower, delta(1, 0, "Hel"), end(3, 5))) == [("delta", (0, "Hel"))]
    assert (follower.ended, follower.wants_snapshot) == (False, True)
    assert told(see(follower, turn("complete", "Hello"))) == [("delta", (3, "lo")), ("end", 5)]
    assert follower.ended


def test_an_end_with_other_words_brings_the_whole_text_anew() -> None:
    follower = following()
    take(follower, delta(1, 0, "Hxllo"))
    assert told(see(follower, turn("complete", "Hello"))) == [("restart", 0), ("delta", (0, "Hello")), ("end", 5)]


def test_usage_and_chunks_are_not_told_twice() -> None:
    follower = following()
    usage, chunk = entry(1, "usage", USAGE.model_dump()), entry(2, "chunk", {"delta": {}})
    take(follower, usage, chunk)
    ended = turn("complete", "", usage=USAGE, chunks=[{"delta": {}}])
    assert told(see(follower, ended)) == [("end", 0)]


@pytest.mark.parametrize("kind", ["switch", "title", "chunk", "usage"])
def test_other_events_are_passed_through(kind: str) -> None:
    follower = following()
    other = entry(3, kind, {"anything": 1})
    assert take(follower, other) == [TurnEvent(kind, other.data, "1-3")]


def test_nothing_is_told_after_the_end() -> None:
    follower = following()
    take(follower, end(1, 0))
    assert take(follower, delta(2, 0, "late")) == []
    assert see(follower, turn("complete", "late")) == []


def test_a_reader_who_comes_back_is_told_what_follows_the_last_event() -> None:
    follower = following(turn("running", "Hello"), resume_after=(1, 4))
    assert told(take(follower, delta(5, 40, "more"), end(6, 44))) == [("delta", (40, "more")), ("end", 44)]


def test_a_reader_who_comes_back_after_a_hole_gets_the_whole_text() -> None:
    follower = following(turn("running"), resume_after=(1, 4))
    assert take(follower, delta(9, 4, "o!")) == []
    assert told(see(follower, turn("running", "Hello!"))) == [("restart", 0), ("delta", (0, "Hello!"))]


def test_a_reader_who_comes_back_to_an_empty_redis_gets_the_whole_text() -> None:
    follower = following(turn("running"), resume_after=(1, 4))
    assert follower.patience_s == RESUMED_S
    assert told(see(follower, turn("running", "Hello"))) == [("delta", (0, "Hello"))]


def test_a_reader_who_comes_back_after_the_end_gets_it_from_redis_if_that_has_it() -> None:
    follower = following(turn("complete", "Hello"), resume_after=(1, 4))
    assert told(take(follower, end(5, 5))) == [("end", 5)]


def test_what_is_held_is_bounded() -> None:
    follower = following()
    take(follower, *(delta(seq, seq, "x") for seq in range(1, 6000)))
    assert text_of(see(follower, turn("running", "x" * 5990))) == "x" * 6000


@pytest.mark.parametrize(
    ("first", "patience_s"),
    [(turn("queued", attempt=0, place=1), QUEUED_S), (turn("running"), QUIET_S)],
    ids=["queued", "running"],
)
def test_how_long_silence_is_borne(first: Turn, patience_s: float) -> None:
    assert following(first).patience_s == patience_s
