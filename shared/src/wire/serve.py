"""Runs an ASGI app in a process of ours: uvicorn with uvloop and httptools, and a drain that streams hear of."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

LIMIT_CONCURRENCY = 2000


class DrainingServer(uvicorn.Server):
    """Calls `on_drain` the moment a signal asks for the end: open streams would hold the server for ever otherwise."""

    def __init__(self, config: uvicorn.Config, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_drain = on_drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_drain()
        super().handle_exit(sig, frame)


class EmbeddedServer(uvicorn.Server):
    """Serves beside a worker, which owns the process's signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    drain_timeout_s: float,
    on_drain: Callable[[], None],
    trusted_proxies: str = "",
) -> None:
    """Blocks until the process is told to end and its requests have, or `drain_timeout_s` have passed.

    What `trusted_proxies` (addresses and networks, with commas) say of whom they speak for is believed, nobody else.
    """
    config = server_config(app, host, port, drain_timeout_s, trusted_proxies)
    DrainingServer(config, on_drain).run()


@contextlib.asynccontextmanager
async def serve_beside(app: ASGIApp, *, host: str, port: int) -> AsyncGenerator[None]:
    """The app is served while the block runs."""
    server = EmbeddedServer(server_config(app, host, port, 1))
    task = asyncio.create_task(server.serve(), name="health server")
    try:
        yield
    finally:
        server.should_exit = True
        await task


def server_config(
    app: ASGIApp, host: str, port: int, drain_timeout_s: float, trusted_proxies: str = ""
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="on",
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        limit_concurrency=LIMIT_CONCURRENCY,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(drain_timeout_s)),
    )
