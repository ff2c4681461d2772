"""A stream to a client that does not read, or leaves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.types import Message

from gateway.event_stream import EventStream

SCOPE: dict[str, Any] = {"type": "http", "asgi": {"spec_version": "2.3"}}


class Watched:
    """Chunks without end, and whether their generator was closed."""

    def __init__(self) -> None:
        self.closed = False
        self.ended = 0

    async def chunks(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b": x\n\n"
                await asyncio.sleep(0)
        finally:
            self.closed = True

    def end(self) -> None:
        self.ended += 1


class Impatient(EventStream):
    send_timeout_s = 0.05


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_client_that_does_not_read_is_given_up() -> None:
    watched = Watched()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async with asyncio.timeout(10):
        await Impatient(watched.chunks(), on_end=watched.end)(SCOPE, never, send)
    assert (watched.closed, watched.ended) == (True, 1)


async def test_a_client_that_leaves_ends_the_stream() -> None:
    watched = Watched()
    left = asyncio.Event()

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        left.set()

    async with asyncio.timeout(10):
        await EventStream(watched.chunks(), on_end=watched.end)(SCOPE, receive, send)
    assert (watched.closed, watched.ended) == (True, 1)


async def test_the_end_is_told_of_a_stream_that_never_began() -> None:
    watched = Watched()

    async def send(_message: Message) -> None:
        raise OSError("the connection is gone")

    with pytest.raises(OSError, match="gone"):
        await EventStream(watched.chunks(), on_end=watched.end)(SCOPE, never, send)
    assert watched.ended == 1
