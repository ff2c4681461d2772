"""Answers an error in the shape that its path promises: OpenAI's object below `/v1`, problem details elsewhere."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope, Send

from gateway.openai_errors import as_openai_problem, invalid_request, openai_error
from wire.asgi import send_json
from wire.database import DatabaseUnavailable
from wire.problems import MEDIA_TYPE, Problem, as_problem, problem_body
from wire.turn_events import encode

MAX_BODY_BYTES = 2_000_000
OPENAI_PATHS = "/v1/"


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
        return Problem(413, "body_too_large", f"The body is larger than {MAX_BODY_BYTES:,} bytes.")
    return as_problem(error)


def _shaped(path: str, problem: Problem) -> tuple[Problem, bytes, str]:
    if path.startswith(OPENAI_PATHS):
        shaped = as_openai_problem(problem)
        return shaped, encode(openai_error(shaped)), "application/json"
    return problem, encode(problem_body(problem)), MEDIA_TYPE
