"""The gateway's routes over a real socket: what goes to chat and tracking, and what comes back."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.people_store import LOCAL_PERSON
from local.ports import free_port
from local.stack import Stack
from wire.ids import new_id
from wire.problems import Problem

from .conftest import Gateway, serving
from .turns import turn

JSON = {"Content-Type": "application/json"}


async def test_conversations_are_asked_for_as_the_person(gateway: Gateway) -> None:
    moment = "2026-11-24T12:00:00+00:00"
    response = await gateway.http.get("/api/conversations", params={"limit": 7, "before": moment})
    assert (response.status_code, response.json()) == (200, {"conversations": [], "next": None})
    asked = gateway.chat.last("GET", "/conversations")
    assert (asked.person, asked.query) == (LOCAL_PERSON, {"limit": "7", "before": moment})


async def test_a_conversation_is_created_renamed_and_deleted(gateway: Gateway) -> None:
    created = await gateway.http.post("/api/conversations", json={"model": "alpha"})
    assert (created.status_code, gateway.chat.asked[-1].body) == (201, {"model": "alpha"})
    conversation = gateway.chat.own(LOCAL_PERSON, turn()).conversation_id
    renamed = await gateway.http.patch(f"/api/conversations/{conversation}", json={"title": "  New  "})
    assert (renamed.status_code, gateway.chat.asked[-1].body) == (200, {"title": "New"})
    assert (await gateway.http.delete(f"/api/conversations/{conversation}")).status_code == 204


async def test_the_trace_goes_on_and_the_persons_key_does_not(gateway: Gateway) -> None:
    await gateway.http.get("/api/models", headers={"Authorization": "Bearer sk-secret", "Cookie": "a=b"})
    headers = gateway.chat.last("GET", "/models").headers
    assert "sk-secret" not in str(headers)
    assert "cookie" not in headers


async def test_another_model_is_tracked_and_then_picked(gateway: Gateway) -> None:
    conversation = gateway.chat.own(LOCAL_PERSON, turn()).conversation_id
    response = await gateway.http.post(f"/api/conversations/{conversation}/model", json={"model": "org/beta"})
    switched = response.json()
    assert switched == {
        "tracking_id": switched["tracking_id"],
        "from_model": "alpha",
        "to_model": "org/beta",
        "estimate": {"context_tokens": 12, "cost_usd": "0.001"},
    }
    told = gateway.tracking.last("POST", "/switches")
    assert (told.person, told.body["session_id"]) == (LOCAL_PERSON, conversation)
    assert told.body["tracking_id"] == switched["tracking_id"]
    assert gateway.chat.last("PATCH", f"/conversations/{conversation}").body == {
        "model": "org/beta",
        "switch_id": switched["tracking_id"],
        "record_start": False,
    }


async def test_without_tracking_the_model_is_picked_and_chat_tells_of_it_later(gateway: Gateway) -> None:
    conversation = gateway.chat.own(LOCAL_PERSON, turn()).conversation_id
    await asyncio.to_thread(gateway.tracking_server.stop)
    response = await gateway.http.post(f"/api/conversations/{conversation}/model", json={"model": "org/beta"})
    assert response.status_code == 200
    assert response.json()["estimate"] == {"context_tokens": None, "cost_usd": None}
    assert gateway.chat.last("PATCH", f"/conversations/{conversation}").body["record_start"] is True


async def test_the_same_model_again_is_no_switch(gateway: Gateway) -> None:
    conversation = gateway.chat.own(LOCAL_PERSON, turn()).conversation_id
    response = await gateway.http.post(f"/api/conversations/{conversation}/model", json={"model": "alpha"})
    assert response.json() == {
        "tracking_id": None,
        "from_model": "alpha",
        "to_model": "alpha",
        "estimate": {"context_tokens": None, "cost_usd": None},
    }
    assert gateway.tracking.asked == []


async def test_an_unknown_model_changes_nothing(gateway: Gateway) -> None:
    conversation = gateway.chat.own(LOCAL_PERSON, turn()).conversation_id
    response = await gateway.http.post(f"/api/conversations/{conversation}/model", json={"model": "gamma"})
    assert (response.status_code, response.json()["code"]) == (422, "unknown_model")
    assert response.json()["errors"][0]["field"] == "model"
    assert gateway.tracking.asked == []


async def test_usage_is_asked_for_with_the_question_as_it_was_put(gateway: Gateway) -> None:
    response = await gateway.http.get("/api/usage", params={"group_by": "day", "from": "2026-11-01"})
    assert response.json()["rows"] == []
    asked = gateway.tracking.last("GET", "/usage")
    assert (asked.person, asked.query) == (LOCAL_PERSON, {"group_by": "day", "from": "2026-11-01"})


async def test_a_conversations_usage_is_its_owners(gateway: Gateway) -> None:
    mine = gateway.chat.own(LOCAL_PERSON, turn()).conversation_id
    theirs = gateway.chat.own(new_id(), turn()).conversation_id
    assert (await gateway.http.get(f"/api/conversations/{mine}/usage")).json()["session_id"] == mine
    assert (await gateway.http.get(f"/api/conversations/{theirs}/usage")).status_code == 404
    assert [asked.path for asked in gateway.tracking.asked] == [f"/sessions/{mine}/usage"]


async def test_what_a_service_objects_to_is_passed_on(gateway: Gateway) -> None:
    errors = [{"field": "text", "message": "no"}]
    gateway.chat.objection = Problem(409, "turn_in_progress", "Wait.", errors=errors, headers={"Retry-After": "3"})
    response = await gateway.http.get("/api/models")
    body = response.json()
    assert (response.status_code, response.headers["retry-after"]) == (409, "3")
    assert (body["code"], body["detail"], body["errors"]) == ("turn_in_progress", "Wait.", errors)


async def test_a_service_that_refuses_our_token_is_not_the_persons_fault(gateway: Gateway) -> None:
    gateway.chat.objection = Problem(401, "service_token_refused", "No.")
    response = await gateway.http.get("/api/models")
    assert (response.status_code, response.json()["code"]) == (503, "chat_unavailable")


async def test_a_service_that_is_away_is_named_in_plain_words(gateway: Gateway) -> None:
    await asyncio.to_thread(gateway.chat_server.stop)
    response = await gateway.http.get("/api/models")
    assert (response.status_code, response.json()["code"]) == (503, "chat_unavailable")
    assert response.headers["retry-after"] == "2"
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/api/conversations", b"{", 400, None),
        ("POST", "/api/conversations", b'{"owner": 1}', 422, "owner"),
        ("POST", "/api/conversations", b"[]", 422, "body"),
        ("PATCH", "/api/conversations/{id}", b'{"title": " "}', 422, "title"),
        ("POST", "/api/conversations/{id}/turns", b"{}", 422, "text"),
        ("POST", "/api/conversations/{id}/turns", b'{"text": ""}', 422, "text"),
        ("POST", "/api/conversations/{id}/turns", b'{"text": " \\n"}', 422, "text"),
        ("POST", "/api/conversations/{id}/turns", b'{"text": "a\\u0000"}', 422, "text"),
        ("POST", "/api/conversations/{id}/turns", b'{"text": "\\ud800"}', 422, "text"),
        ("POST", "/api/conversations/{id}/turns", b'{"text": "x", "parent_id": "1"}', 422, "parent_id"),
        ("POST", "/api/conversations/{id}/turns", b'{"text": "' + b"x" * 1_000_000 + b'"}', 422, "text"),
        ("POST", "/api/conversations/{id}/turns", b'{"text": "' + b"x" * 3_000_000 + b'"}', 413, None),
        ("POST", "/api/conversations/nonsense/turns", b'{"text": "x"}', 404, None),
        ("GET", "/api/conversations?limit=0", b"", 422, "limit"),
        ("GET", "/api/conversations?before=yesterday", b"", 422, "before"),
        ("GET", "/api/usage?group_by=mood", b"", 422, "group_by"),
        ("GET", "/api/nothing", b"", 404, None),
        ("DELETE", "/api/models", b"", 405, None),
    ],
    ids=lambda value: f"{value!r:.50}",
)
async def test_what_can_not_be_taken_is_refused_as_problem_details(
    gateway: Gateway, method: str, path: str, body: bytes, status: int, field: str | None
) -> None:
    response = await gateway.http.request(method, path.format(id=new_id()), content=body, headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json()
    assert (problem["status"], problem["type"]) == (status, "about:blank")
    assert [error["field"] for error in problem.get("errors", [])][:1] == ([] if field is None else [field])
    assert gateway.chat.asked == []


async def test_a_body_without_a_length_is_counted(gateway: Gateway) -> None:
    async def parts():
        for _ in range(30):
            yield b"x" * 100_000

    response = await gateway.http.post("/api/conversations", content=parts(), headers=JSON)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
async def test_an_idempotency_key_that_can_not_be_kept_is_refused(gateway: Gateway, key: str) -> None:
    url = f"/api/conversations/{new_id()}/turns"
    response = await gateway.http.post(url, json={"text": "Hi"}, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_the_page_and_its_files(gateway: Gateway, tmp_path: Path) -> None:
    assert "not built" in (await gateway.http.get("/")).text
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>Hopline</title>")
    (tmp_path / "hopline.svg").write_text("<svg/>")
    (tmp_path / ".env").write_text("secret")
    (tmp_path / "assets" / "app-1a2b.js").write_text("1")
    for path in ("/", "/c/anything"):
        page = await gateway.http.get(path)
        assert (page.text, page.headers["cache-control"]) == ("<title>Hopline</title>", "no-cache")
    asset = await gateway.http.get("/assets/app-1a2b.js")
    assert (asset.text, asset.headers["cache-control"]) == ("1", "public, max-age=31536000, immutable")
    assert (await gateway.http.get("/hopline.svg")).text == "<svg/>"
    for path in ("/assets/none.js", "/none.svg", "/.env", "/assets/..%2findex.html", "/%2e%2e%2fsecret"):
        assert (await gateway.http.get(path)).status_code == 404


async def test_every_response_tells_browsers_what_they_may(gateway: Gateway) -> None:
    for path in ("/", "/api/config", "/api/nothing"):
        headers = (await gateway.http.get(path)).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


async def test_health_tells_of_all_five(gateway: Gateway) -> None:
    response = await gateway.http.get("/api/health")
    assert response.status_code == 200
    report = response.json()
    assert report["status"] == "ok"
    names = ["gateway", "chat", "chat-worker", "tracking", "tracking-worker"]
    assert [(service["name"], service["state"], service["version"]) for service in report["services"]] == [
        (name, "up", "0.1.0") for name in names
    ]
    assert {name for service in report["services"] for name in service} == {"name", "version", "state", "latency_ms"}


async def test_health_is_degraded_without_tracking_and_down_without_chat(gateway: Gateway) -> None:
    await asyncio.to_thread(gateway.tracking_server.stop)
    degraded = await gateway.http.get("/api/health")
    await asyncio.to_thread(gateway.chat_server.stop)
    down = await gateway.http.get("/api/health")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert (down.status_code, down.json()["status"]) == (503, "down")


async def test_a_part_that_says_it_is_degraded_is_passed_on(gateway: Gateway) -> None:
    gateway.chat.ready = {"status": "degraded", "version": "0.1.0"}
    report = (await gateway.http.get("/api/health")).json()
    assert (report["status"], report["services"][1]["state"]) == ("degraded", "degraded")


async def test_without_its_database_the_gateway_is_down_and_the_local_person_still_chats(
    stack: Stack, redis: Redis, tmp_path: Path
) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    async with serving(stack, nowhere, redis, static_dir=tmp_path) as gateway:
        assert (await gateway.http.get("/readyz")).status_code == 503
        assert (await gateway.http.get("/api/health")).json()["status"] == "down"
        assert (await gateway.http.get("/api/models")).status_code == 200
        with_key = await gateway.http.get("/api/models", headers={"Authorization": "Bearer hl_any"})
        assert (with_key.status_code, with_key.json()["code"]) == (503, "database_unavailable")


async def test_without_a_dsn_there_is_no_tunnel(gateway: Gateway) -> None:
    assert (await gateway.http.post("/monitoring", content=b"{}")).status_code == 404


async def test_the_tunnel_takes_a_replay_without_a_content_type_and_nothing_larger(
    stack: Stack, database_url: str, redis: Redis, tmp_path: Path
) -> None:
    dsn = f"http://key@127.0.0.1:{free_port()}/1"
    line = b'{"dsn":"%b"}\n' % dsn.encode()
    async with serving(stack, database_url, redis, static_dir=tmp_path, sentry_dsn=dsn) as gateway:
        large = await gateway.http.post("/monitoring", content=line + b"\x00" * 9_000_000)
        larger = await gateway.http.post("/monitoring", content=line + b"\x00" * 10_000_001)
        foreign = await gateway.http.post("/monitoring", content=b'{"dsn":"http://key@evil.example/1"}\n')
    assert (large.status_code, large.content) == (200, b"{}")
    assert (larger.status_code, foreign.status_code) == (413, 400)
