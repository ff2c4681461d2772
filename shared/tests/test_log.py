"""A log line is a phrase and fields, knows its trace, and holds nobody's text."""

import logging
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from wire.log import configure_logging, get_logger
from wire.telemetry.spans import background_transaction, current_trace_id

SECRET = "the-planted-secret"
Look = Callable[[], list[dict[str, Any]]]
"""What was written since the last look, as objects."""
Begin = Callable[[], Look]
pytestmark = pytest.mark.usefixtures("restored_logging")


@pytest.fixture
def begin(capsys: pytest.CaptureFixture[str]) -> Begin:
    """Logging is configured (in the test itself, for pytest sets it up between a fixture and its test)."""

    def look() -> list[dict[str, Any]]:
        found = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
        for line in found:
            assert line.pop("timestamp").endswith("Z")
        return found

    def begin() -> Look:
        configure_logging("chat", style="json", level="info")
        return look

    return begin


def fail() -> None:
    raise ValueError(SECRET)


def test_a_line_is_json_with_its_process(begin: Begin) -> None:
    lines = begin()

    get_logger("chat.test").info("turn accepted", turn_id="t-1")

    assert lines() == [{"event": "turn accepted", "level": "info", "process": "chat", "turn_id": "t-1"}]


def test_a_line_names_the_trace_it_belongs_to(begin: Begin) -> None:
    lines = begin()

    with background_transaction("work"):
        trace_id = current_trace_id()
        get_logger("chat.test").info("in a trace")
    get_logger("chat.test").info("outside of any")

    assert [line.get("trace_id") for line in lines()] == [trace_id, None]


def test_lines_below_the_level_are_not_written(begin: Begin) -> None:
    lines = begin()

    get_logger("chat.test").debug("details")

    assert lines() == []


def test_a_librarys_line_looks_like_ours(begin: Begin) -> None:
    lines = begin()

    logging.getLogger("some.library").warning("%s is slow", "the disk")

    assert lines() == [{"event": "the disk is slow", "level": "warning", "process": "chat"}]


def test_a_chatty_library_is_heard_from_warnings_on(begin: Begin) -> None:
    lines = begin()

    logging.getLogger("httpx").info("GET http://chat/")
    logging.getLogger("httpx").warning("slow")

    assert [line["event"] for line in lines()] == ["slow"]


@pytest.mark.parametrize("logger", ["chat.test", "some.library"])
def test_an_exception_is_told_by_its_type_and_place_and_not_by_its_words(
    capsys: pytest.CaptureFixture[str], logger: str
) -> None:
    configure_logging("chat", style="json", level="info")

    try:
        fail()
    except ValueError:
        logging.getLogger(logger).exception("it broke")

    written = capsys.readouterr().out
    line = orjson.loads(written)
    assert (line["event"], line["error"]) == ("it broke", "ValueError")
    assert line["at"].endswith(" fail")
    assert SECRET not in written


def test_the_queues_library_does_not_quote_a_failed_job(begin: Begin) -> None:
    lines = begin()

    try:
        fail()
    except ValueError as error:
        logging.getLogger("arq.worker").exception("job failed: %s", error)  # noqa: TRY401  as arq does
    logging.getLogger("arq.worker").warning("max retries exceeded")

    assert [line["event"] for line in lines()] == ["max retries exceeded"]


def test_the_console_is_for_reading(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("chat", style="console", level="info")

    get_logger("chat.test").warning("redis is away", queue="chat")

    assert capsys.readouterr().out.split()[1:] == ["[warning", "]", "redis", "is", "away", "queue=chat"]
