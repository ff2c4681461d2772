"""`/sentry-test?service=…`: has another process raise an error on purpose, in the trace of the request that asks.

The error and its event are the other process's. Here it is an answer that is passed on.
"""

from collections.abc import Mapping

import httpx

from gateway.errors import ServiceUnavailable
from wire.deliberate_error import PATH
from wire.problems import Problem


class ErrorProvoker:
    """`urls` are those of the other processes, by name."""

    def __init__(self, http: httpx.AsyncClient, urls: Mapping[str, str]) -> None:
        self._http = http
        self._urls = urls

    async def provoke(self, service: str) -> httpx.Response:
        """What the process answers: 500 with the ids of its event and its trace, or 404 where it is not enabled.

        Raises:
            Problem: 422, there is no such process.
            ServiceUnavailable: it can't be reached.
        """
        url = self._urls.get(service)
        if url is None:
            sentence = f"There is no process {service!r}. There are: gateway, {', '.join(self._urls)}."
            errors = [{"field": "service", "message": sentence}]
            raise Problem(422, "unknown_service", sentence, errors=errors)
        try:
            return await self._http.get(url + PATH)
        except httpx.RequestError as error:
            raise ServiceUnavailable(service) from error
