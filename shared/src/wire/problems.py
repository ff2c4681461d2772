"""Errors as people and programs read them: RFC 9457 problem details.

`Problem` is the root of every error that a route answers on purpose. Its words are for a person: what happened and what
to do, nothing internal. Anything else that escapes a route is a 500 with one general sentence; the details are in
Sentry, under the trace id and the event id that the answer names.

See: https://www.rfc-editor.org/rfc/rfc9457
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from wire.database import DatabaseUnavailable
from wire.telemetry.spans import current_trace_id, name_event

MEDIA_TYPE = "application/problem+json"
MAX_FIELD_ERRORS = 20

HTTP_ERRORS = {
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    413: ("body_too_large", "The body is too large."),
}
"""What the framework refuses by itself: status, code, sentence."""


class Problem(Exception):
    """An error that is answered on purpose: a status, a stable code, a sentence for a person."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[dict[str, str]] = (),
        headers: dict[str, str] | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}
        self.event_id = event_id


class NotFound(Problem):
    """Unknown, or somebody else's: the answer is the same, so that ids can't be probed."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "not_found", f"There is no such {what}.")


def problem_body(problem: Problem) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = problem.errors
    trace_id = current_trace_id()
    if trace_id is not None:
        body["trace_id"] = trace_id
    if problem.event_id is not None:
        body["event_id"] = problem.event_id
    return body


def as_problem(error: Exception) -> Problem:
    """The problem that answers `error`, whatever it is."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DatabaseUnavailable):
        return Problem(
            503,
            "database_unavailable",
            "The database can't be reached right now. Nothing was changed; try again in a moment.",
            headers={"Retry-After": "2"},
        )
    if isinstance(error, RequestValidationError):
        return _invalid_request(error)
    if isinstance(error, HTTPException):
        return _http_problem(error)
    return Problem(
        500,
        "internal_error",
        "Something went wrong here. It has been reported; try again.",
        # The server drops the connection after an error of this kind: said, so that nobody sends on it again.
        headers={"Connection": "close"},
        event_id=name_event(error),
    )


def install_problem_handlers(app: Starlette) -> None:
    """Every error of the app's routes is answered as problem details."""

    async def answer(_request: Request, error: Exception) -> Response:
        problem = as_problem(error)
        return JSONResponse(
            problem_body(problem), status_code=problem.status, headers=problem.headers, media_type=MEDIA_TYPE
        )

    for kind in (Problem, DatabaseUnavailable, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _invalid_request(error: RequestValidationError) -> Problem:
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        return _malformed_json()
    errors = [{"field": _field_path(e["loc"]), "message": _sentence(e)} for e in found[:MAX_FIELD_ERRORS]]
    first = errors[0]
    return Problem(422, "invalid_request", f"{first['field']}: {first['message']}", errors=errors)


def _field_path(loc: Sequence[int | str]) -> str:
    """`body.messages.0.role` without the leading part that says where the field travels."""
    parts = [str(part) for part in loc]
    return ".".join(parts[1:]) or parts[0] if parts else "body"


def _sentence(error: dict[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "This field is not known here; leave it out."
    return str(error["msg"]).removeprefix("Value error, ")


def _malformed_json() -> Problem:
    return Problem(400, "malformed_json", "The body is not valid JSON.")


def _http_problem(error: HTTPException) -> Problem:
    if isinstance(error.__cause__, UnicodeDecodeError):  # FastAPI's answer to a body that is not even text
        return _malformed_json()
    phrase_code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    code, detail = HTTP_ERRORS.get(error.status_code, (phrase_code, str(error.detail)))
    return Problem(error.status_code, code, detail, headers=dict(error.headers or {}))
