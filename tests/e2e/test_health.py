"""Every process tells how it is, and the gateway tells of all of them."""

from typing import Any

import httpx
import pytest

from e2e.hopline import Hopline
from e2e.person import Person
from local.process_table import SERVICES
from wire.version import VERSION


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(url)


async def health(person: Person) -> dict[str, Any]:
    return (await person.http.get("/api/health")).json()


@pytest.mark.parametrize("name", SERVICES)
async def test_a_process_says_that_it_is_alive_and_ready(hopline: Hopline, name: str) -> None:
    alive = await get(f"{hopline.stack.url(name)}/healthz")
    ready = await get(f"{hopline.stack.url(name)}/readyz")
    assert (alive.status_code, ready.status_code) == (200, 200)
    assert (alive.json()["status"], alive.json()["name"]) == ("ok", name)
    assert (ready.json()["status"], ready.json()["name"]) == ("ready", name)
    assert {check["state"] for check in ready.json()["checks"].values()} == {"up"}


async def test_the_gateway_tells_of_all_processes(hopline: Hopline, ada: Person) -> None:
    report = await health(ada)
    assert report["status"] == "ok"
    parts: list[dict[str, Any]] = report["services"]
    assert {part["name"] for part in parts} >= set(SERVICES)
    for part in parts:
        assert part["state"] == "up"
        assert part["latency_ms"] >= 0
    assert {part["version"] for part in parts} == {VERSION}


@pytest.mark.parametrize("name", ["tracking", "tracking-worker"])
async def test_it_is_degraded_and_still_answers_without_what_an_answer_does_not_need(
    hopline: Hopline, ada: Person, prompt: str, name: str
) -> None:
    conversation = await ada.new_conversation()
    async with hopline.without(name, kill=True):
        report = await health(ada)
        assert report["status"] == "degraded"
        assert {part["name"]: part["state"] for part in report["services"]}[name] == "down"
        assert (await ada.answer(conversation, prompt)).text == f"You said: {prompt}"
    await ada.counted(conversation, 1, timeout_s=45)
    assert (await health(ada))["status"] == "ok"


async def test_it_is_down_without_what_every_answer_needs(hopline: Hopline, ada: Person) -> None:
    async with hopline.without("chat", kill=True):
        response = await ada.http.get("/api/health")
        assert response.status_code == 503
        assert response.json()["status"] == "down"


async def test_nothing_secret_is_in_a_report(hopline: Hopline, ada: Person) -> None:
    texts = [(await ada.http.get("/api/health")).text]
    texts += [(await get(f"{hopline.stack.url(name)}/readyz")).text for name in SERVICES]
    secrets = [*hopline.stack.secrets.values(), hopline.provider_key]
    assert [secret for secret in secrets for text in texts if secret in text] == []
