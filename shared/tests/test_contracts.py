"""Bodies are strict where they enter and lenient where a later release may have written them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from wire.contracts.jobs import Envelope, UsageEvent, switch_completed_event_id, switch_started_event_id
from wire.contracts.tracking import MAX_METADATA_BYTES, NewSwitch
from wire.ids import TurnId, call_id, new_id

SWITCH: dict[str, Any] = {
    "tracking_id": "00000000-0000-4000-8000-000000000001",
    "session_id": "00000000-0000-4000-8000-000000000002",
    "from_model": "alpha",
    "to_model": "beta",
}


@pytest.mark.parametrize(
    "change",
    [
        {"mood": "good"},
        {"tracking_id": "00000000-0000-4000-8000-00000000000G"},
        {"tracking_id": "00000000-0000-4000-8000-000000000001\n"},
        {"to_model": ""},
        {"to_model": "line\nbreak"},
        {"metadata": {"note": "nul\0"}},
        {"metadata": {"note": "\ud800"}},
        {"metadata": {"note": "x" * MAX_METADATA_BYTES}},
    ],
    ids=repr,
)
def test_a_body_with_a_wrong_field_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewSwitch.model_validate(SWITCH | change)


def test_metadata_holds_json_only() -> None:
    switch = NewSwitch.model_validate(SWITCH | {"metadata": {"ratio": float("nan"), "asked": [1, None, "é"]}})

    assert switch.metadata == {"ratio": None, "asked": [1, None, "é"]}


def test_a_job_of_a_later_release_is_read() -> None:
    envelope = Envelope.model_validate({"trace": {}, "enqueued_at": 1.5, "payload": {"a": 1}, "priority": 3})

    assert envelope == Envelope(trace={}, enqueued_at=1.5, payload={"a": 1})


def test_an_event_survives_its_way_as_json() -> None:
    turn, now = TurnId(new_id()), datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
    event = UsageEvent.model_validate(
        {
            "event_id": call_id(turn, 1, 0),
            "turn_id": turn,
            "session_id": new_id(),
            "owner_id": "local",
            "attempt": 1,
            "call": 0,
            "state": "complete",
            "model": "alpha",
            "provider": "scripted",
            "input_tokens": 3,
            "output_tokens": 4,
            "token_source": "reported",
            "price": {"input": "0.10", "output": "0.20"},
            "started_at": now,
            "ended_at": now,
        }
    )

    assert UsageEvent.model_validate(event.model_dump(mode="json")) == event


def test_event_ids_name_what_they_count() -> None:
    assert call_id(TurnId("t"), 2, 1) == "t:2:1"
    assert switch_started_event_id("s") == "s:started"
    assert switch_completed_event_id("s") == "s:completed"
