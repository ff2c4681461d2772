"""`GET /sentry-test`, the same on every process: an error on purpose, to see whether and where errors arrive.

Nothing about it is special: it is raised in a route and caught by nobody, so it takes the way of every bug. The answer
is that of a bug too, a 500 whose `event_id` and `trace_id` say what to look for. Whoever reaches the address can make
events, so it is there only where `SENTRY_TEST_ENABLED` says so; elsewhere it is an address like any other unknown one.
"""

from typing import NoReturn

from starlette.requests import Request
from starlette.routing import Route

from wire.process_settings import SentrySettings

PATH = "/sentry-test"


class DeliberateError(Exception):
    """Somebody asked for an error. Trying again makes another one."""

    def __init__(self, process: str) -> None:
        super().__init__(f"raised on purpose by GET {PATH} on {process}")


def deliberate_error_routes(process: str, settings: SentrySettings) -> list[Route]:
    """The route of this process, or none where it is not enabled."""

    async def fail(_request: Request) -> NoReturn:
        raise DeliberateError(process)

    return [Route(PATH, fail, methods=["GET"])] if settings.sentry_test_enabled else []
