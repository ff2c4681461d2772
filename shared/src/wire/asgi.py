"""Pure ASGI middleware: `BaseHTTPMiddleware` would put a task and a queue between a stream and its socket."""

import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wire.log import get_logger
from wire.problems import MEDIA_TYPE, Problem, problem_body
from wire.telemetry.spans import current_trace_id
from wire.turn_events import encode

QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

log = get_logger(__name__)


class BodyTooLarge(HTTPException):
    """The request's body is larger than this process takes. (FastAPI lets no other kind out of reading a body.)"""

    def __init__(self) -> None:
        super().__init__(413)


class LimitBody:
    """Refuses a body of more than `max_bytes` with 413, whether it says its length or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            return await self._refuse(send)
        seen = 0

        async def receive_limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise BodyTooLarge
            return message

        try:
            await self._app(scope, receive_limited, send)
        except BodyTooLarge:
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        problem = Problem(413, "body_too_large", f"The body is larger than {self._max_bytes:,} bytes.")
        await send_json(send, problem.status, encode(problem_body(problem)), media_type=MEDIA_TYPE)


class LogRequests:
    """One INFO line a request: method, path without query, status, milliseconds. Puts the trace id on the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start = time.perf_counter()
        status = 500
        trace_id = current_trace_id()

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if trace_id is not None:
                    message["headers"] = [*message.get("headers", ()), (b"x-trace-id", trace_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            if scope["path"] not in QUIET_PATHS:
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    duration_ms=round((time.perf_counter() - start) * 1000, 1),
                )


async def send_json(send: Send, status: int, body: bytes, *, media_type: str = "application/json") -> None:
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
