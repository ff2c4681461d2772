"""`/healthz` says that a process is alive, `/readyz` whether it can do its work."""

import asyncio
from typing import Any

import httpx
from starlette.applications import Starlette

from wire.health import Health
from wire.version import VERSION


async def up() -> None:
    return


async def down() -> None:
    raise RuntimeError("postgresql://ada:geheim@host/name")


async def hang() -> None:
    await asyncio.Event().wait()


async def ask(health: Health, path: str) -> tuple[int, dict[str, Any], str]:
    transport = httpx.ASGITransport(Starlette(routes=health.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get(path)
    body: dict[str, Any] = response.json()
    for check in body.get("checks", {}).values():
        assert check.pop("latency_ms") >= 0
    return response.status_code, body, response.text


async def test_a_process_is_alive_whatever_has_become_of_its_parts() -> None:
    status, body, _ = await ask(Health("chat", required={"database": down}, draining=True), "/healthz")

    assert (status, body) == (200, {"status": "ok", "name": "chat", "version": VERSION})


async def test_a_process_with_all_its_parts_is_ready() -> None:
    status, body, _ = await ask(Health("chat", required={"database": up}, optional={"redis": up}), "/readyz")

    assert (status, body) == (
        200,
        {
            "status": "ready",
            "name": "chat",
            "version": VERSION,
            "checks": {"database": {"state": "up"}, "redis": {"state": "up"}},
        },
    )


async def test_a_process_without_a_part_it_needs_is_not_ready_and_tells_no_secret() -> None:
    status, body, text = await ask(Health("chat", required={"database": down}, optional={"redis": up}), "/readyz")

    assert (status, body) == (
        503,
        {
            "status": "not_ready",
            "name": "chat",
            "version": VERSION,
            "checks": {"database": {"state": "down"}, "redis": {"state": "up"}},
        },
    )
    assert "geheim" not in text


async def test_a_process_without_a_part_it_can_do_without_is_degraded() -> None:
    status, body, _ = await ask(Health("chat", required={"database": up}, optional={"redis": down}), "/readyz")

    assert (status, body["status"]) == (200, "degraded")


async def test_a_part_that_never_answers_is_down() -> None:
    status, body, _ = await ask(Health("chat", required={"database": hang}), "/readyz")

    assert (status, body["checks"]) == (503, {"database": {"state": "down"}})


async def test_a_process_that_drains_is_not_ready() -> None:
    status, body, _ = await ask(Health("chat", required={"database": up}, draining=True), "/readyz")

    assert (status, body["status"]) == (503, "draining")
