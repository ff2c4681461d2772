"""An ASGI app on a real socket of this machine, in a thread with its own event loop.

The port stays the same over `stop` and `start`, so that a test can take a server away and bring it back.
"""

import asyncio
import socket
import threading
from typing import Self

import uvicorn
from starlette.types import ASGIApp

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0
BACKLOG = 512


class BackgroundServer:
    def __init__(self, app: ASGIApp, *, host: str = HOST) -> None:
        self._app = app
        self._host = host
        self._port = 0
        self._running: tuple[uvicorn.Server, threading.Thread] | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        """Connections are accepted."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((self._host, self._port))
        listening.listen(BACKLOG)
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            log_level="critical",  # a broken connection is what tests ask for, not news
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        started = threading.Event()
        thread = threading.Thread(
            target=_serve, args=(server, listening, started), name=f"server on {self._port}", daemon=True
        )
        thread.start()
        assert started.wait(START_TIMEOUT_S), "the server did not start"
        self._running = (server, thread)

    def stop(self) -> None:
        """The port is closed and every connection gone; nothing if it was not running."""
        if self._running is None:
            return
        server, thread = self._running
        self._running = None
        server.should_exit = True
        thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


def _serve(server: uvicorn.Server, listening: socket.socket, started: threading.Event) -> None:
    async def main() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.005)
        started.set()
        await serving

    asyncio.run(main())
