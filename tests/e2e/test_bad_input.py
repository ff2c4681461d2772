"""What can't be used is refused with one clear sentence, and changes nothing."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from e2e.person import Person

JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"
MEGABYTE = 1_000_000


def is_problem(response: httpx.Response) -> dict[str, Any]:
    """The problem details, which name no inside of ours."""
    assert response.headers["content-type"] == PROBLEM
    problem = response.json()
    assert problem["status"] == response.status_code
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert not [word for word in ("Traceback", "asyncpg", "sqlalchemy", "pydantic") if word in response.text]
    return problem


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[1, 2", b"not json"], ids=repr)
async def test_malformed_json_is_refused(ada: Person, body: bytes) -> None:
    conversation = await ada.new_conversation()
    for path in ("/api/conversations", f"/api/conversations/{conversation}/turns"):
        response = await ada.http.post(path, content=body, headers=JSON)
        assert response.status_code in (400, 422)
        is_problem(response)
    assert await ada.messages(conversation) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": 7}, "text"),
        ({"text": None}, "text"),
        ({"text": ["a", "b"]}, "text"),
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": " \n\t "}, "text"),
        ({"text": "a\x00b"}, "text"),
        ({"text": "Hello", "model": 7}, "model"),
        ({"text": "Hello", "model": ""}, "model"),
        ({"text": "Hello", "model": "no-such-model"}, "model"),
        ({"text": "Hello", "parent_id": "not-an-id"}, "parent_id"),
        ({"text": "Hello", "frobnicate": True}, "frobnicate"),
        ({"text": "Hello", "completion": {"messages": []}}, "completion"),
        ({"text": "x" * MEGABYTE}, "text"),
    ],
    ids=lambda value: f"{value!r:.40}",
)
async def test_a_message_that_can_not_be_used_is_refused_by_the_fields_name(
    ada: Person, body: dict[str, Any], field: str
) -> None:
    conversation = await ada.new_conversation()
    response = await ada.http.post(f"/api/conversations/{conversation}/turns", json=body)
    assert response.status_code == 422
    problem = is_problem(response)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await ada.messages(conversation) == []


async def test_lone_surrogates_are_refused(ada: Person) -> None:
    conversation = await ada.new_conversation()
    response = await ada.http.post(
        f"/api/conversations/{conversation}/turns", content=b'{"text":"\\ud800"}', headers=JSON
    )
    assert response.status_code in (400, 422)
    is_problem(response)


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(ada: Person) -> None:
    conversation = await ada.new_conversation()
    response = await ada.http.post(
        f"/api/conversations/{conversation}/turns", content=b'{"text":"' + b"x" * 5 * MEGABYTE + b'"}', headers=JSON
    )
    assert response.status_code == 413
    is_problem(response)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/conversations", {"model": 1}),
        ("POST", "/api/conversations", {"model": "no-such-model"}),
        ("POST", "/api/conversations", {"owner": "somebody"}),
        ("POST", "/api/conversations", []),
        ("PATCH", "/api/conversations/{conversation}", {"title": ""}),
        ("PATCH", "/api/conversations/{conversation}", {"title": "x" * 10_000}),
        ("PATCH", "/api/conversations/{conversation}", {"owner_id": "me"}),
        ("POST", "/api/conversations/{conversation}/model", {}),
        ("POST", "/api/conversations/{conversation}/model", {"model": "no-such-model"}),
        ("POST", "/api/conversations/{conversation}/model", {"model": "scripted", "reason": "why not"}),
        ("GET", "/api/usage?group_by=colour", None),
        ("GET", "/api/usage?from=yesterday", None),
        ("GET", "/api/conversations?limit=many", None),
        ("GET", "/api/conversations?limit=-1", None),
        ("GET", "/api/conversations?before=once", None),
    ],
    ids=lambda value: f"{value!r:.60}",
)
async def test_what_can_not_be_used_is_refused_on_every_route(
    ada: Person, method: str, path: str, body: object
) -> None:
    conversation = await ada.new_conversation()
    before = await ada.conversation(conversation)
    response = await ada.http.request(method, path.format(conversation=conversation), json=body)
    assert response.status_code == 422
    is_problem(response)
    assert await ada.conversation(conversation) == before


@pytest.mark.parametrize("unknown", [str(uuid4()), "not-an-id", "%00", "1", "x" * 500, str(uuid4()).upper()])
async def test_an_id_that_is_none_is_not_found(ada: Person, unknown: str) -> None:
    paths = (
        f"/api/conversations/{unknown}",
        f"/api/conversations/{unknown}/usage",
        f"/api/turns/{unknown}",
        f"/api/turns/{unknown}/events",
    )
    responses = [await ada.http.get(path) for path in paths]
    assert [response.status_code for response in responses] == [404] * len(paths)
    for response in responses:
        is_problem(response)


async def test_a_key_for_repeats_that_is_too_long_is_refused(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    response = await ada.http.post(
        f"/api/conversations/{conversation}/turns", json={"text": prompt}, headers={"Idempotency-Key": "k" * 1000}
    )
    assert response.status_code in (400, 422)
    is_problem(response)


async def test_an_address_that_is_none_is_a_problem_too(ada: Person) -> None:
    response = await ada.http.get("/api/no-such-thing")
    assert response.status_code == 404
    is_problem(response)


@pytest.mark.parametrize("header", ["garbage", f"{'z' * 32}-{'1' * 16}-1", "x" * 4000])
async def test_trace_headers_that_make_no_sense_do_no_harm(ada: Person, prompt: str, header: str) -> None:
    headers = {"sentry-trace": header, "baggage": header}
    answer = await ada.answer(await ada.new_conversation(), prompt, headers=headers)
    assert answer.end is not None
    assert answer.end.kind == "end"
