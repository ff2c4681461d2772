"""Answers an error in the shape that its path promises: OpenAI's object below `/v1`, problem details elsewhere."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.openai_errors import as_openai_problem, invalid_request, openai_error
from wire.asgi import BodyTooLarge, send_json
from wire.contracts.chat import MAX_MESSAGE_CHARS
from wire.database import DatabaseUnavailable
from wire.problems import MEDIA_TYPE, Problem, as_problem, problem_body
from wire.turn_events import encode

MAX_BODY_BYTES = 2_000_000
OPENAI_PATHS = "/v1/"


class RefuseLargeBodies:
    """Refuses a body over the limit of its path with 413, before it is read if it says its length.

    (FastAPI's own `max_body_size` would answer a declared length in plain text.)
    """

    def __init__(self, app: ASGIApp, *, own_limits: Mapping[str, int]) -> None:
        self._app = app
        self._own_limits = own_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        limit = self._own_limits.get(scope["path"], MAX_BODY_BYTES)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            return await refuse(scope, send, too_large(limit))
        seen = 0

        async def receive_counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise BodyTooLarge
            return message

        await self._app(scope, receive_counting, send)


def too_large(limit: int) -> Problem:
    return Problem(
        413,
        "body_too_large",
        f"The body is larger than {limit:,} bytes. A message has at most {MAX_MESSAGE_CHARS:,} characters.",
    )


async def refuse(scope: Scope, send: Send, problem: Problem) -> None:
    """For middleware, which stands outside of the app's error handlers."""
    shaped, body, media_type = _shaped(scope["path"], problem)
    await send_json(send, shaped.status, body, media_type=media_type)


def install_error_handlers(app: FastAPI) -> None:
    """Every error of a route is answered, in its path's shape."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = _problem(request.url.path, error)
        shaped, body, media_type = _shaped(request.url.path, problem)
        return Response(body, status_code=shaped.status, headers=shaped.headers, media_type=media_type)

    for kind in (Problem, DatabaseUnavailable, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _problem(path: str, error: Exception) -> Problem:
    if isinstance(error, RequestValidationError) and path.startswith(OPENAI_PATHS):
        return invalid_request(error)
    if isinstance(error, HTTPException) and error.status_code == 413:
        return too_large(MAX_BODY_BYTES)
    return as_problem(error)


def _shaped(path: str, problem: Problem) -> tuple[Problem, bytes, str]:
    if path.startswith(OPENAI_PATHS):
        shaped = as_openai_problem(problem)
        return shaped, encode(openai_error(shaped)), "application/json"
    return problem, encode(problem_body(problem)), MEDIA_TYPE
