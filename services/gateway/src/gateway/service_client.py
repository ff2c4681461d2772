"""How the gateway asks another service: a signed token for one person, one named error when there is no answer."""

from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
import orjson
from pydantic import BaseModel, ValidationError

from gateway.errors import ServiceUnavailable
from wire.ids import PersonId
from wire.log import get_logger
from wire.problems import Problem
from wire.service_tokens import ServiceAuth

PROCESS = "gateway"
TIMEOUT = httpx.Timeout(15.0, connect=2.0, pool=5.0)
LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=15.0)
"""A connection is dropped well before the service does it (30 s), so that no request meets a closing one."""
PASSED_HEADERS = ("Retry-After",)

log = get_logger(__name__)

AnswerT = TypeVar("AnswerT", bound=BaseModel)


def http_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, trust_env=False, follow_redirects=False)


class ServiceClient:
    """Requests to one service. `service` is its name in sentences and the audience of its tokens."""

    def __init__(self, http: httpx.AsyncClient, service: str, *, url: str, key: str) -> None:
        self._http = http
        self._service = service
        self._url = url
        self._key = key

    async def ask(
        self,
        answer: type[AnswerT],
        method: str,
        path: str,
        *,
        person: PersonId,
        body: BaseModel | None = None,
        query: Mapping[str, str] | None = None,
    ) -> AnswerT:
        """Raises:
        Problem: what the service objects to, with its own status, code and sentence.
        ServiceUnavailable: it can't be reached, or its answer makes no sense.
        """
        response = await self.send(method, path, person=person, body=body, query=query)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            log.error("answer not understood", service=self._service, method=method, status=response.status_code)
            raise ServiceUnavailable(self._service) from error

    async def send(
        self,
        method: str,
        path: str,
        *,
        person: PersonId,
        body: BaseModel | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The successful response. Raises as `ask` does."""
        try:
            response = await self._http.request(
                method,
                self._url + path,
                content=None if body is None else body.model_dump_json(exclude_unset=True),
                headers={} if body is None else {"Content-Type": "application/json"},
                params=query,
                auth=ServiceAuth(self._key, process=PROCESS, audience=self._service, person=person),
            )
        except httpx.RequestError as error:
            log.warning("service can't be reached", service=self._service, error=type(error).__name__)
            raise ServiceUnavailable(self._service) from error
        if response.is_success:
            return response
        raise self._problem(response)

    def _problem(self, response: httpx.Response) -> Problem:
        """What the service objects to. A refused token is our own fault, not the person's."""
        problem = read_problem(response)
        if problem is None or problem.status == 401:
            log.error("service refused the gateway", service=self._service, status=response.status_code)
            return ServiceUnavailable(self._service)
        return problem


def read_problem(response: httpx.Response) -> Problem | None:
    """The problem details of a response; `None` if it has none."""
    try:
        body: Any = orjson.loads(response.content)
        errors = [{"field": str(e["field"]), "message": str(e["message"])} for e in body.get("errors", [])]
        headers = {name: response.headers[name] for name in PASSED_HEADERS if name in response.headers}
        return Problem(response.status_code, str(body["code"]), str(body["detail"]), errors=errors, headers=headers)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
