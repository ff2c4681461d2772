"""The HTTP service on a real socket: what the gateway may ask, and how the rest is refused."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from chat.app import create_app
from chat.catalogue import Catalogue
from chat.provider.client import ProviderClients
from chat.settings import ChatSettings
from local.ports import free_port
from parts.waiting import until
from wire.ids import PersonId, new_id
from wire.serve import serve_beside
from wire.service_tokens import ServiceAuth

SERVICE_KEY = "a key that only the tests of this folder share"


@asynccontextmanager
async def serving(settings: ChatSettings) -> AsyncGenerator[httpx.AsyncClient]:
    """The app listens while the block runs."""
    port, clients = free_port(), ProviderClients()
    app, _ = create_app(settings, Catalogue(settings, clients.list_models), clients)
    async with (
        serve_beside(app, host="127.0.0.1", port=port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        await until(lambda: answers(client), "the app answers")
        yield client


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).is_success
    except httpx.ConnectError:
        return False


def sign(person: str, *, audience: str = "chat", key: str = SERVICE_KEY) -> ServiceAuth:
    return ServiceAuth(key, process="gateway", audience=audience, person=PersonId(person))


@pytest.fixture
async def http(settings: ChatSettings, owner: PersonId) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running app, signed for the owner."""
    async with serving(settings) as client:
        client.auth = sign(owner)
        yield client


@pytest.fixture
async def conversation(http: httpx.AsyncClient) -> str:
    return (await http.post("/conversations", json={})).json()["id"]


async def test_a_message_is_accepted_read_and_stopped(http: httpx.AsyncClient, conversation: str) -> None:
    accepted = await http.post("/turns", json={"conversation_id": conversation, "text": "Hi"})
    assert (accepted.status_code, accepted.json()["state"]) == (202, "queued")
    turn = accepted.json()["id"]
    read = await http.get(f"/turns/{turn}")
    assert (read.status_code, read.json()["id"], read.json()["text"]) == (200, turn, "")
    stopped = await http.post(f"/turns/{turn}/stop")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")


async def test_a_conversation_is_made_listed_renamed_and_deleted(http: httpx.AsyncClient, conversation: str) -> None:
    listed = await http.get("/conversations")
    assert [one["id"] for one in listed.json()["conversations"]] == [conversation]
    renamed = await http.patch(f"/conversations/{conversation}", json={"title": "On bees"})
    assert (renamed.status_code, renamed.json()["title"]) == (200, "On bees")
    assert (await http.get(f"/conversations/{conversation}")).json()["messages"] == []
    assert (await http.delete(f"/conversations/{conversation}")).status_code == 204
    assert (await http.get(f"/conversations/{conversation}")).status_code == 404


async def test_the_models_are_told(http: httpx.AsyncClient) -> None:
    models = (await http.get("/models")).json()
    assert models["default"] == "alpha"
    assert models["models"][0] == {
        "id": "alpha",
        "provider": "scripted",
        "context_window": 8192,
        "description": None,
        "price": {"input": "0.15", "output": "0.60", "cached_input": "0.075", "version": "models.toml"},
    }


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[]", 422, "body"),
        (b'{"conversation_id": "%s", "text": ""}', 422, "text"),
        (b'{"conversation_id": "%s", "text": "a\\u0000b"}', 422, "text"),
        (b'{"conversation_id": "%s", "text": "half \\ud83d"}', 422, "text"),
        (b'{"conversation_id": "%s", "text": "Hi", "model": "half \\ud83d"}', 422, "model"),
        (b'{"conversation_id": "%s", "text": "Hi", "model": "a\\u0000b"}', 422, "model"),
        (b'{"conversation_id": "%s", "text": "Hi", "idempotency_key": "a\\u0000b"}', 422, "idempotency_key"),
        (b'{"conversation_id": "%s", "text": "Hi", "colour": "red"}', 422, "colour"),
        (b'{"conversation_id": "%s", "text": 7}', 422, "text"),
        (b'{"conversation_id": "not an id", "text": "Hi"}', 422, "conversation_id"),
        (b'{"text": "Hi"}', 422, "conversation_id"),
        (b'{"text": "Hi", "completion": {"messages": [{"content": "a\\u0000b"}]}}', 422, "messages"),
        (b'{"text": "Hi", "completion": {"messages": [], "parameters": {"seed": NaN}}}', 422, "parameters"),
        (b'{"conversation_id": "%s", "text": "' + b"x" * 200_001 + b'"}', 422, "text"),
    ],
    ids=lambda value: f"{value!r:.90}",
)
async def test_what_can_not_be_used_is_refused_by_the_fields_name(
    http: httpx.AsyncClient, conversation: str, body: bytes, status: int, field: str | None
) -> None:
    content = body.replace(b"%s", conversation.encode())
    response = await http.post("/turns", content=content, headers={"content-type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    fields = [error["field"] for error in response.json().get("errors", [])]
    assert fields == ([] if field is None else [field])
    assert (await http.get(f"/conversations/{conversation}")).json()["messages"] == []


async def test_a_body_without_end_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.post("/turns", content=b"x" * 8_000_001, headers={"content-type": "application/json"})
    assert response.status_code == 413


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=many", "before=once", "before=2026-01-01T00:00:00", "before=0001-01-01"]
)
async def test_a_page_of_the_list_that_can_not_be_is_refused(http: httpx.AsyncClient, query: str) -> None:
    assert (await http.get(f"/conversations?{query}")).status_code == 422


@pytest.mark.parametrize(
    "before", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "1e20"]
)
async def test_a_page_at_the_edge_of_time_is_no_error_of_ours(http: httpx.AsyncClient, before: str) -> None:
    response = await http.get("/conversations", params={"before": before})
    assert response.status_code in (200, 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/conversations/{id}"),
        ("PATCH", "/conversations/{id}"),
        ("DELETE", "/conversations/{id}"),
        ("GET", "/turns/{id}"),
        ("POST", "/turns/{id}/stop"),
    ],
)
async def test_a_stranger_finds_nothing(
    http: httpx.AsyncClient, conversation: str, stranger: PersonId, method: str, path: str
) -> None:
    accepted = await http.post("/turns", json={"conversation_id": conversation, "text": "Hi"})
    mine = conversation if "conversations" in path else accepted.json()["id"]
    answered = [
        await http.request(method, path.format(id=one), json={"title": "Mine"}, auth=sign(stranger))
        for one in (mine, new_id())
    ]
    assert [response.status_code for response in answered] == [404, 404]
    assert answered[0].json() == answered[1].json()
    assert (await http.get(f"/turns/{accepted.json()['id']}")).json()["state"] == "queued"


@pytest.mark.parametrize(
    "auth",
    [
        None,
        sign("p", audience="tracking"),
        sign("p", key="another key, which nobody here has, and long enough"),
    ],
    ids=["no token", "another audience", "another key"],
)
async def test_only_tokens_of_our_own_for_this_service_are_answered(
    http: httpx.AsyncClient, auth: ServiceAuth | None
) -> None:
    for path in ("/models", "/conversations", f"/turns/{new_id()}"):
        response = await http.get(path, auth=auth)
        assert (response.status_code, response.headers["content-type"]) == (401, "application/problem+json")


async def test_without_the_database_every_route_is_503_and_says_so(settings: ChatSettings, owner: PersonId) -> None:
    nowhere = SecretStr(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    async with serving(settings.model_copy(update={"database_url": nowhere})) as http:
        http.auth = sign(owner)
        responses = [
            await http.get("/conversations"),
            await http.post("/conversations", json={}),
            await http.post("/turns", json={"conversation_id": new_id(), "text": "Hi"}),
            await http.post(f"/turns/{new_id()}/stop"),
        ]
        ready = await http.get("/readyz")
    assert [(r.status_code, r.json()["code"]) for r in responses] == [(503, "database_unavailable")] * 4
    assert (ready.status_code, ready.json()["checks"]["database"]["state"]) == (503, "down")


async def test_without_redis_it_is_degraded_and_accepts(settings: ChatSettings, owner: PersonId) -> None:
    nowhere = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    async with serving(settings.model_copy(update={"redis_url": nowhere})) as http:
        http.auth = sign(owner)
        made: Any = (await http.post("/conversations", json={})).json()
        accepted = await http.post("/turns", json={"conversation_id": made["id"], "text": "Hi"})
        ready = await http.get("/readyz")
    assert accepted.status_code == 202
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
