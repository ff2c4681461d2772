"""`/healthz` and `/readyz`, the same on every process.

`/healthz` says that the process is alive and looks at nothing, so that a slow database never gets it killed. `/readyz`
asks the parts it needs, each with a deadline, and is 503 while the process drains.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wire.version import VERSION

CHECK_TIMEOUT_S = 2.0

Check = Callable[[], Awaitable[None]]
"""Returns when the part is well, raises when it is not."""


@dataclass(slots=True)
class Health:
    """What a process is and what it needs: `required` parts make it not ready, `optional` ones only degraded."""

    name: str
    required: Mapping[str, Check] = field(default_factory=dict[str, Check])
    optional: Mapping[str, Check] = field(default_factory=dict[str, Check])
    draining: bool = False

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether the process is ready, and the body of `/readyz`. No error text in it: that could hold a secret."""
        names = [*self.required, *self.optional]
        results = await asyncio.gather(*(_run(check) for check in [*self.required.values(), *self.optional.values()]))
        checks = dict(zip(names, results, strict=True))
        well = all(checks[name]["state"] == "up" for name in self.required)
        all_well = all(check["state"] == "up" for check in checks.values())
        status = "draining" if self.draining else "not_ready" if not well else "ready" if all_well else "degraded"
        ready = well and not self.draining
        return ready, {"status": status, "name": self.name, "version": VERSION, "checks": checks}

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self._healthz, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
        ]

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "name": self.name, "version": VERSION})

    async def _readyz(self, _request: Request) -> Response:
        ready, body = await self.report()
        return JSONResponse(body, status_code=200 if ready else 503)


async def _run(check: Check) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception:  # whatever is wrong with a part, the report says that it is down
        return {"state": "down", "latency_ms": _elapsed_ms(start)}
    return {"state": "up", "latency_ms": _elapsed_ms(start)}


def _elapsed_ms(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 1)
