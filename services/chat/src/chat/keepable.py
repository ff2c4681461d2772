"""What PostgreSQL and JSON can keep. The edge refuses the rest by name, so that no statement fails over it later."""

import math
from collections.abc import Iterable
from typing import Any

from wire.problems import Problem

MAX_DEPTH = 100
MAX_INTEGER = 2**63 - 1

NUL = "It contains a NUL character, which can't be kept."
NOT_UNICODE = "It contains half of a surrogate pair, which is not valid Unicode."
TOO_DEEP = "It is nested too deeply."
NO_NUMBER = "It contains a number that JSON can't carry."


def refuse_unkeepable(field: str, value: Any) -> None:
    """Raises:
    Problem: 422, naming the field.
    """
    sentence = _why_not(value, MAX_DEPTH)
    if sentence is not None:
        raise field_problem(field, sentence)


def field_problem(field: str, sentence: str) -> Problem:
    return Problem(422, "invalid_request", f"{field}: {sentence}", errors=[{"field": field, "message": sentence}])


def _why_not(value: Any, depth: int) -> str | None:
    match value:
        case str():
            return _why_no_text(value)
        case float():
            return None if math.isfinite(value) else NO_NUMBER
        case int():
            return None if abs(value) <= MAX_INTEGER else NO_NUMBER
        case list() | dict() if depth == 0:
            return TOO_DEEP
        case list():
            return _first(_why_not(one, depth - 1) for one in value)
        case dict():
            return _first(_why_not(part, depth - 1) for pair in value.items() for part in pair)
        case _:
            return None


def _why_no_text(text: str) -> str | None:
    if "\x00" in text:
        return NUL
    try:
        text.encode()
    except UnicodeEncodeError:
        return NOT_UNICODE
    return None


def _first(reasons: Iterable[str | None]) -> str | None:
    return next((reason for reason in reasons if reason is not None), None)
