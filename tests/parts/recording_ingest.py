"""A Sentry ingest on a real socket that keeps everything it is sent.

    with RecordingIngest() as ingest:
        …                                     # processes started with SENTRY_DSN=ingest.dsn
        trace = await ingest.wait_for_trace(trace_id, lambda t: t.find("gateway", "http.server"), "the request")
        print(trace.drawn())

What it can't read it refuses and notes in `unreadable`, which a test run ends by looking at.
"""

import threading
from collections.abc import Callable
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parts.background_server import HOST, BackgroundServer
from parts.envelopes import Item, parse_envelope, unpacked
from parts.traces import Trace, read_trace
from parts.waiting import DeadlinePassed, until

PROJECT = "1"
PUBLIC_KEY = "0123456789abcdef0123456789abcdef"


class RecordingIngest:
    def __init__(self, *, host: str = HOST) -> None:
        self._host = host
        self._items: list[Item] = []
        self._bodies: list[bytes] = []
        self._lock = threading.Lock()
        self.unreadable: list[str] = []
        route = Route(f"/api/{PROJECT}/envelope/", self._take, methods=["POST"])
        self._server = BackgroundServer(Starlette(routes=[route]), host=host)

    @property
    def dsn(self) -> str:
        return f"http://{PUBLIC_KEY}@{self._host}:{self._server.port}/{PROJECT}"

    @property
    def items(self) -> list[Item]:
        with self._lock:
            return list(self._items)

    def items_of(self, kind: str) -> list[dict[str, Any]]:
        return [item.json for item in self.items if item.type == kind]

    def everything(self) -> bytes:
        """All that was sent, unpacked: for the search for what must never be there."""
        with self._lock:
            return b"\n".join([*self._bodies, *(i.readable for i in self._items if i.type == "replay_recording")])

    def trace(self, trace_id: str) -> Trace:
        return read_trace(trace_id, self.items)

    async def wait_for_trace(
        self, trace_id: str, is_there: Callable[[Trace], object], what: str, *, timeout_s: float = 20.0
    ) -> Trace:
        """The trace as it is once `is_there` says so.

        Raises:
            DeadlinePassed: not in time; shows the trace as it is.
        """

        def trace_once_there() -> Trace | None:
            trace = self.trace(trace_id)
            return trace if is_there(trace) else None

        try:
            return await until(trace_once_there, what, timeout_s=timeout_s)
        except DeadlinePassed as late:
            raise DeadlinePassed(f"{late}\n{self.trace(trace_id).drawn()}") from None

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    async def _take(self, request: Request) -> Response:
        packed = await request.body()
        try:
            body = unpacked(packed, request.headers.get("content-encoding", ""))
            _headers, items = parse_envelope(body)
        except (ValueError, KeyError, OSError, EOFError) as error:
            with self._lock:
                self.unreadable.append(f"{type(error).__name__}: {error}")
            return JSONResponse({"detail": "unreadable envelope"}, status_code=400)
        with self._lock:
            self._bodies.append(body)
            self._items.extend(items)
        return JSONResponse({"id": "0" * 32})
