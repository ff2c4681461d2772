"""Work that is only worth doing while the caller waits for it."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

ResultT = TypeVar("ResultT")


class CallerHungUp(Exception):
    """The connection was closed before there was anything to send."""


async def while_caller_waits(receive: Receive, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """What `work` gives. The request's body must have been read.

    Raises:
        CallerHungUp: `work` was cancelled.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise CallerHungUp
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        for task in (working, leaving):
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
