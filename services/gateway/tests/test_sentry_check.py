"""`/sentry-test`: an error on purpose here, or in the process that `service` names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from local.stack import Stack
from wire.problems import MEDIA_TYPE, NotFound

from .conftest import Gateway, serving
from .fake_services import EVENT_ID


@pytest.fixture
async def enabled(stack: Stack, database_url: str, redis: Redis, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving(stack, database_url, redis, static_dir=tmp_path, sentry_test_enabled=True) as gateway:
        yield gateway


@pytest.mark.parametrize("query", [{}, {"service": "gateway"}])
async def test_by_itself_the_gateway_raises(enabled: Gateway, query: dict[str, str]) -> None:
    response = await enabled.http.get("/sentry-test", params=query)
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")


@pytest.mark.parametrize("service", ["chat", "chat-worker"])
async def test_what_another_process_answers_is_passed_on(enabled: Gateway, service: str) -> None:
    response = await enabled.http.get("/sentry-test", params={"service": service})
    assert (response.status_code, response.json()["event_id"]) == (500, EVENT_ID)
    assert response.headers["content-type"] == MEDIA_TYPE


async def test_a_process_where_it_is_not_enabled_says_404(enabled: Gateway) -> None:
    enabled.chat.objection = NotFound("address")
    response = await enabled.http.get("/sentry-test", params={"service": "chat"})
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_a_process_that_is_away_is_named(enabled: Gateway) -> None:
    enabled.tracking_server.stop()
    response = await enabled.http.get("/sentry-test", params={"service": "tracking-worker"})
    assert (response.status_code, response.json()["code"]) == (503, "tracking-worker_unavailable")


async def test_a_process_that_there_is_not_is_refused_with_the_names_of_those_there_are(enabled: Gateway) -> None:
    response = await enabled.http.get("/sentry-test", params={"service": "billing"})
    sentence = "There is no process 'billing'. There are: gateway, chat, chat-worker, tracking, tracking-worker."
    assert (response.status_code, response.json()["code"]) == (422, "unknown_service")
    assert response.json()["errors"] == [{"field": "service", "message": sentence}]


@pytest.mark.parametrize("query", [{}, {"service": "chat"}])
async def test_where_it_is_not_enabled_there_is_no_such_address(gateway: Gateway, query: dict[str, str]) -> None:
    response = await gateway.http.get("/sentry-test", params=query)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
