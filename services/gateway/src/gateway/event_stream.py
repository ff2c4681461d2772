"""The response that carries a stream of server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from wire.log import get_logger

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

log = get_logger(__name__)


class EventStream(StreamingResponse):
    """Sends what `chunks` yields as it comes. The generator is closed when the client goes or stops reading.

    A client that reads nothing for `send_timeout_s` is given up: it would hold its place and its memory for ever.
    `on_end` is called when the response is over, however it ended, even if it never began.
    """

    send_timeout_s = 15.0

    def __init__(self, chunks: AsyncGenerator[bytes], *, on_end: Callable[[], None] = lambda: None) -> None:
        super().__init__(chunks, headers=HEADERS, media_type="text/event-stream; charset=utf-8")
        self._chunks = chunks
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self.send_timeout_s):
                await send(message)

        async with aclosing(self._chunks):
            try:
                await super().stream_response(send_in_time)
            except TimeoutError:
                log.warning("client does not read, stream given up")
