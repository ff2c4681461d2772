"""`/api/health`: how all five processes are, in one answer. Nothing secret in it.

| status | when | HTTP |
|---|---|---|
| `ok` | everything is up | 200 |
| `degraded` | tracking or tracking-worker is not up, or a part says so of itself: answers still come | 200 |
| `down` | gateway, chat or chat-worker is not up: answers don't come | 503 |

Whoever asks while others wait for the answer gets the same one: asking often does not multiply the questions.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Literal

import httpx
import orjson
from pydantic import BaseModel, ConfigDict

from wire.health import Health

ASK_TIMEOUT_S = 3.0
NEEDED = frozenset({"gateway", "chat", "chat-worker"})

State = Literal["up", "degraded", "draining", "down"]
STATES: Mapping[str, State] = {"ready": "up", "degraded": "degraded", "draining": "draining"}


class ServiceHealth(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    version: str | None
    """`None` when it does not answer."""
    state: State
    latency_ms: float


class HealthReport(BaseModel):
    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "degraded", "down"]
    services: list[ServiceHealth]


class SystemHealth:
    """Asks every process for its `/readyz`; `urls` are those of the others, by name."""

    def __init__(self, http: httpx.AsyncClient, own: Health, urls: Mapping[str, str]) -> None:
        self._http = http
        self._own = own
        self._urls = urls
        self._asking: asyncio.Task[HealthReport] | None = None

    async def report(self) -> HealthReport:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._asking)

    async def _ask_all(self) -> HealthReport:
        asked = [self._ask(name, url) for name, url in self._urls.items()]
        services = await asyncio.gather(self._ask_oneself(), *asked)
        return HealthReport(status=overall(services), services=services)

    async def _ask_oneself(self) -> ServiceHealth:
        start = time.perf_counter()
        _, body = await self._own.report()
        return _service(self._own.name, body, start)

    async def _ask(self, name: str, url: str) -> ServiceHealth:
        start = time.perf_counter()
        body: dict[str, Any] = {}
        try:
            response = await self._http.get(f"{url}/readyz", timeout=ASK_TIMEOUT_S)
            body = orjson.loads(response.content)
        except (httpx.RequestError, ValueError):
            pass  # no answer, or one that is none: it is down, and that is what is reported
        return _service(name, body, start)


def overall(services: list[ServiceHealth]) -> Literal["ok", "degraded", "down"]:
    if any(service.name in NEEDED and service.state in ("down", "draining") for service in services):
        return "down"
    return "ok" if all(service.state == "up" for service in services) else "degraded"


def _service(name: str, body: Any, start: float) -> ServiceHealth:
    known: dict[str, Any] = body if isinstance(body, dict) else {}
    version = known.get("version")
    return ServiceHealth(
        name=name,
        version=version if isinstance(version, str) else None,
        state=STATES.get(str(known.get("status")), "down"),
        latency_ms=round((time.perf_counter() - start) * 1000, 1),
    )
