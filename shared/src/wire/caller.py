"""The dependency that guards every route of an internal service."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Header

from wire.problems import Problem
from wire.service_tokens import Caller, TokenRefused, read_token
from wire.telemetry.spans import set_person


def require_caller(key: str, *, audience: str) -> Callable[[str | None], Awaitable[Caller]]:
    """A FastAPI dependency that yields who calls. (A coroutine: FastAPI runs plain functions in threads.)

    Raises (as a problem): 401 when the request has no service token that is good for `audience`.
    """

    async def caller(authorization: Annotated[str | None, Header()] = None) -> Caller:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Problem(401, "service_token_required", "This service answers signed service tokens only.")
        try:
            found = read_token(key, token, audience=audience)
        except TokenRefused as error:
            raise Problem(401, "service_token_refused", "The service token is not valid here.") from error
        set_person(found.person)
        return found

    return caller
