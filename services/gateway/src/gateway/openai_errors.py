"""Errors below `/v1`, as OpenAI's API words them: `{"error": {message, type, param, code}}`.

See: https://platform.openai.com/docs/guides/error-codes
"""

from collections.abc import Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from wire.problems import Problem

UNKNOWN_MODEL_CODES = frozenset({"unknown_model", "model_not_found"})
PARAMS = {"text": "messages", "completion.messages": "messages", "idempotency_key": "Idempotency-Key"}
"""Fields of the inner services by the names that the caller knows."""
TYPE_NAMES = frozenset({"str", "int", "float", "bool"})


class InvalidParameter(Problem):
    """A parameter of the request can't be used; its words say which and why. Trying again does not help."""

    def __init__(self, message: str, *, param: str | None, code: str | None = None) -> None:
        errors = [] if param is None else [{"field": param, "message": message}]
        super().__init__(400, code or "invalid_value", message, errors=errors)


def openai_error(problem: Problem) -> dict[str, Any]:
    """The body that answers `problem`; its status is `openai_status`."""
    code = "model_not_found" if problem.code in UNKNOWN_MODEL_CODES else problem.code
    return {
        "error": {
            "message": problem.detail,
            "type": _type_of(problem.status),
            "param": _param_of(problem),
            "code": code,
        }
    }


def as_openai_problem(problem: Problem) -> Problem:
    """The same problem with the status that OpenAI's API would give it."""
    if problem.code in UNKNOWN_MODEL_CODES:
        status = 404
    elif problem.status == 422:
        status = 400
    else:
        return problem
    return Problem(status, problem.code, problem.detail, errors=problem.errors, headers=problem.headers)


def invalid_request(error: RequestValidationError) -> Problem:
    """The first thing that is wrong with a request, by the name of its parameter."""
    found = error.errors()
    first = found[0]
    if first["type"] == "json_invalid":
        return InvalidParameter("We could not parse the JSON body of your request.", param=None, code="invalid_json")
    param = parameter_name(first["loc"])
    if param is None:
        return InvalidParameter(
            "The body must be a JSON object, sent with `Content-Type: application/json`.", param=None
        )
    if first["type"] == "extra_forbidden":
        return InvalidParameter(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    if first["type"] == "missing":
        return InvalidParameter(
            f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
        )
    # of a union's alternatives the one that went furthest is what the caller meant
    meant = max((e for e in found if parameter_name(e["loc"]) == param), key=lambda e: len(e["loc"]))
    sentence = str(meant["msg"]).removeprefix("Value error, ")
    return InvalidParameter(f"Invalid value for '{param}': {sentence}", param=param)


def parameter_name(loc: Sequence[int | str]) -> str | None:
    """`messages[0].content` from where pydantic found the error; `None` when it is the body as a whole."""
    name = ""
    for part in loc[1:]:
        if isinstance(part, int):
            name += f"[{part}]"
        elif part.isidentifier() and part not in TYPE_NAMES:
            name += f".{part}" if name else part
        else:
            break  # from here on pydantic names alternatives of a union, not fields
    return name or None


def _param_of(problem: Problem) -> str | None:
    if not problem.errors:
        return None
    field = problem.errors[0]["field"]
    return PARAMS.get(field, field)


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
