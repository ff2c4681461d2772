"""Every example of docs/sentry.md runs, and does what the guide says of it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk

from parts.recording_ingest import RecordingIngest
from parts.servers import ROOT
from parts.traces import Trace
from wire.telemetry.spans import background_transaction, current_trace_id

StartTelemetry = Callable[..., None]

EXAMPLES: list[str] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/sentry.md").read_text(), re.M | re.S)
TESTED = (
    "prices_of",
    "note_slow_provider",
    "answer_turn",
    "note_backlog",
    "remove_old_files",
    "title_later",
    "start_switch",
    "insert_transition",
)
"""The function by which each example is known, in the guide's order."""


class Guide:
    """Runs examples in a unit of work, and shows what arrived of it."""

    def __init__(self, ingest: RecordingIngest) -> None:
        self._ingest = ingest
        self._trace_id = ""
        self._work = background_transaction("a unit of work")

    def example(self, function: str) -> dict[str, Any]:
        """What the example with this function defines."""
        [code] = [code for code in EXAMPLES if f"def {function}(" in code]
        defined: dict[str, Any] = {"__name__": "guide"}
        exec(compile(code, "docs/sentry.md", "exec"), defined)
        return defined

    def __enter__(self) -> None:
        self._work.__enter__()
        self._trace_id = current_trace_id() or ""

    def __exit__(self, *error: Any) -> None:
        self._work.__exit__(*error)

    @property
    def trace(self) -> Trace:
        sentry_sdk.get_client().flush(timeout=5)
        return self._ingest.trace(self._trace_id)

    @property
    def event(self) -> dict[str, Any]:
        [error] = self.trace.errors
        return error.payload


@pytest.fixture
def guide(telemetry: StartTelemetry, ingest: RecordingIngest) -> Guide:
    telemetry("chat")
    return Guide(ingest)


def test_every_example_has_a_test() -> None:
    known = [name for code, name in zip(EXAMPLES, TESTED, strict=True) if f"def {name}(" in code]
    assert known == list(TESTED)


def test_an_error_that_is_handled(guide: Guide, tmp_path: Path) -> None:
    prices_of = guide.example("prices_of")["prices_of"]

    with guide:
        assert prices_of(str(tmp_path / "none")) == {}

    assert guide.event["exception"]["values"][-1]["type"] == "FileNotFoundError"
    assert guide.event["exception"]["values"][-1]["value"] == ""
    assert (guide.event["level"], guide.event["tags"]) == ("error", {"part": "prices"})


def test_a_message_with_a_level(guide: Guide) -> None:
    with guide:
        guide.example("note_slow_provider")["note_slow_provider"]("local")

    assert (guide.event["message"], guide.event["level"]) == ("provider answers slowly", "warning")
    assert guide.event["tags"] == {"provider": "local"}


def test_whose_work_it_is_and_tags(guide: Guide) -> None:
    with guide:
        guide.example("answer_turn")["answer_turn"]("ada", "turn-1", "smollm2-135m")

    assert guide.event["user"] == {"id": "ada"}
    assert guide.event["tags"] == {"turn_id": "turn-1", "model": "smollm2-135m"}


def test_context(guide: Guide) -> None:
    with guide:
        guide.example("note_backlog")["note_backlog"](12, 3.5)

    assert guide.event["contexts"]["queue"] == {"waiting": 12, "oldest_s": 3.5}


def test_work_on_a_timer_has_a_trace_of_its_own_with_its_error_in_it(guide: Guide, ingest: RecordingIngest) -> None:
    with guide:
        guide.example("remove_old_files")["remove_old_files"]("uploads")

    assert [span.name for span in guide.trace.spans.values()] == ["a unit of work"]
    assert guide.trace.errors == []
    [work] = [item for item in ingest.items_of("transaction") if item["transaction"] == "remove old files"]
    trace = ingest.trace(work["contexts"]["trace"]["trace_id"])
    assert trace.find("chat", "file.list")[0].data["folder"] == "uploads"
    assert [error.type for error in trace.errors] == ["TimeoutError"]


def test_work_that_a_request_leaves_behind_is_in_its_trace(guide: Guide) -> None:
    defined = guide.example("title_later")

    with guide:
        headers = defined["title_later"]([])
    defined["title_now"](headers)

    assert [span.name for span in guide.trace.find("chat", "task")] == ["a unit of work", "title conversation"]


async def test_profile(guide: Guide) -> None:
    defined = guide.example("start_switch")

    with guide:
        assert await defined["start_switch"]("other") == "other"
        assert [word async for word in defined["words_of"]("two words")] == ["two", "words"]

    start, words = guide.trace.find("chat", "function")
    assert (start.name, start.data["operation"], start.data["phase"]) == ("start_switch", "model_switch", "start")
    assert start.data["code.function.name"] == "guide.start_switch"
    assert (words.name, words.data["phase"], words.data["call_count"]) == ("words_of", "deliver", 1)


def test_profiling_span(guide: Guide) -> None:
    with guide:
        calls = guide.example("insert_transition")["insert_transition"]()

    [block] = guide.trace.find("chat", "function.block", "DB Insert Model Transition")
    assert (block.data["operation"], block.data["call_count"]) == ("model_switch", calls)
