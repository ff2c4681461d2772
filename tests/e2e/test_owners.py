"""Two people: somebody else's id answers exactly as one that was never given out, on every route."""

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from e2e.models import OTHER
from e2e.person import Person

UNKNOWN = str(uuid4())


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    """With `{conversation}` or `{turn}` for the id in question."""
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.headers.get('Accept', '')}".strip()


ROUTES = (
    Route("GET", "/api/conversations/{conversation}"),
    Route("PATCH", "/api/conversations/{conversation}", {"title": "Mine now"}),
    Route("DELETE", "/api/conversations/{conversation}"),
    Route("GET", "/api/conversations/{conversation}/usage"),
    Route("POST", "/api/conversations/{conversation}/model", {"model": OTHER}),
    Route("POST", "/api/conversations/{conversation}/turns", {"text": "Let me in"}),
    Route("POST", "/api/conversations/{conversation}/turns", {"text": "Let me in"}, {"Accept": "application/json"}),
    Route("GET", "/api/turns/{turn}"),
    Route("GET", "/api/turns/{turn}/events"),
    Route("GET", "/api/turns/{turn}/events", headers={"Last-Event-ID": "1-0"}),
    Route("POST", "/api/turns/{turn}/stop"),
)


@dataclass(frozen=True)
class Belongings:
    conversation: str
    turn: str


@pytest.fixture(scope="module")
async def adas(ada: Person) -> Belongings:
    conversation = await ada.new_conversation()
    answer = await ada.answer(conversation, "Is this mine alone?")
    assert answer.turn is not None
    await ada.counted(conversation, 1)
    return Belongings(conversation, answer.turn["turn_id"])


async def send(person: Person, route: Route, ids: Belongings) -> httpx.Response:
    path = route.path.format(conversation=ids.conversation, turn=ids.turn)
    return await person.http.request(route.method, path, json=route.body, headers=route.headers)


def answer_of(response: httpx.Response) -> tuple[int, str, dict[str, Any]]:
    body: dict[str, Any] = response.json()
    body.pop("trace_id", None)
    return response.status_code, response.headers["content-type"], body


async def test_the_table_holds_every_route_that_takes_an_id(ben: Person) -> None:
    schema = (await ben.http.get("/api/openapi.json")).json()
    served = {
        (method.upper(), re.sub(r"\{(\w+)_id\}", r"{\1}", path))
        for path, methods in schema["paths"].items()
        for method in methods
        if "_id}" in path
    }
    assert {(route.method, route.path) for route in ROUTES} == served


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_a_strangers_id_answers_as_an_unknown_one(ben: Person, adas: Belongings, route: Route) -> None:
    foreign = await send(ben, route, adas)
    unknown = await send(ben, route, Belongings(UNKNOWN, UNKNOWN))
    assert answer_of(foreign) == answer_of(unknown)
    assert foreign.status_code == 404
    assert foreign.headers["content-type"] == "application/problem+json"


async def test_a_strangers_message_can_not_be_followed_in_ones_own_conversation(
    ben: Person, adas: Belongings, prompt: str
) -> None:
    conversation = await ben.new_conversation()
    path = f"/api/conversations/{conversation}/turns"
    answers = [
        answer_of(await ben.http.post(path, json={"text": prompt, "parent_id": parent}))
        for parent in (adas.turn, UNKNOWN)
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


async def test_nothing_of_it_changed_anything(ada: Person, ben: Person, adas: Belongings) -> None:
    before = await ada.conversation(adas.conversation)
    for route in ROUTES:
        await send(ben, route, adas)
    assert await ada.conversation(adas.conversation) == before


async def test_the_list_of_one_has_nothing_of_the_other(ada: Person, ben: Person, adas: Belongings) -> None:
    lists = [(await person.http.get("/api/conversations")).json()["conversations"] for person in (ada, ben)]
    assert [adas.conversation in {c["id"] for c in found} for found in lists] == [True, False]


async def test_whoever_sits_at_the_machine_without_a_key_is_a_third_person(local: Person, adas: Belongings) -> None:
    assert (await local.http.get(f"/api/conversations/{adas.conversation}")).status_code == 404
