"""Waiting for a condition with a deadline. A deadline is a timeout, never a claim about speed."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

FIRST_PAUSE_S = 0.005
LONGEST_PAUSE_S = 0.1

ValueT = TypeVar("ValueT")


class DeadlinePassed(AssertionError):
    """The condition has not come true in time."""


@overload
async def until(condition: Callable[[], Awaitable[ValueT | None]], what: str, *, timeout_s: float = 20.0) -> ValueT: ...
@overload
async def until(condition: Callable[[], ValueT | None], what: str, *, timeout_s: float = 20.0) -> ValueT: ...
async def until(condition: Callable[[], Any], what: str, *, timeout_s: float = 20.0) -> Any:
    """The first truthy value of `condition`, which is asked again and again.

    Raises:
        DeadlinePassed: none came within `timeout_s`; names `what` was waited for and the last value.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        found = condition()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if time.monotonic() > deadline:
            raise DeadlinePassed(f"not within {timeout_s:g} s: {what} (last value: {value!r})")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
