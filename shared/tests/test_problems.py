"""Errors are problem details: for a person, without anything internal."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, FastAPI
from pydantic import BaseModel, ConfigDict, Field

from wire.database import DatabaseUnavailable
from wire.problems import MAX_FIELD_ERRORS, MEDIA_TYPE, NotFound, Problem, install_problem_handlers


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cups: Annotated[int, Field(ge=1)]
    extras: list[dict[str, int]] = []


def app() -> FastAPI:
    app = FastAPI()
    install_problem_handlers(app)

    @app.get("/problem")
    async def refuse() -> None:
        raise Problem(429, "slow_down", "Wait a moment.", headers={"Retry-After": "3"})

    @app.get("/unknown")
    async def find_nothing() -> None:
        raise NotFound("conversation")

    @app.get("/away")
    async def need_database() -> None:
        raise DatabaseUnavailable("postgresql://ada:geheim@host/name")

    @app.get("/bug")
    async def fail() -> None:
        raise RuntimeError("geheim")

    @app.post("/orders")
    async def order(order: Annotated[Order, Body()]) -> Order:
        return order

    return app


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(status: int, title: str, code: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail, **more}


async def answered(response: httpx.Response) -> tuple[int, dict[str, Any]]:
    assert response.headers["content-type"] == MEDIA_TYPE
    return response.status_code, response.json()


async def test_a_problem_has_its_status_code_sentence_and_headers(http: httpx.AsyncClient) -> None:
    response = await http.get("/problem")

    assert response.headers["retry-after"] == "3"
    assert await answered(response) == (429, problem(429, "Too Many Requests", "slow_down", "Wait a moment."))


async def test_what_is_not_there_does_not_say_why(http: httpx.AsyncClient) -> None:
    assert await answered(await http.get("/unknown")) == (
        404,
        problem(404, "Not Found", "not_found", "There is no such conversation."),
    )


async def test_a_database_that_is_away_is_a_503_to_try_again(http: httpx.AsyncClient) -> None:
    response = await http.get("/away")

    assert response.headers["retry-after"] == "2"
    assert await answered(response) == (
        503,
        problem(
            503,
            "Service Unavailable",
            "database_unavailable",
            "The database can't be reached right now. Nothing was changed; try again in a moment.",
        ),
    )


async def test_a_bug_is_answered_without_its_words_and_closes_the_connection(http: httpx.AsyncClient) -> None:
    response = await http.get("/bug")

    assert response.headers["connection"] == "close"
    assert await answered(response) == (
        500,
        problem(
            500,
            "Internal Server Error",
            "internal_error",
            "Something went wrong here. It has been reported; try again.",
        ),
    )


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, [{"field": "cups", "message": "Field required"}]),
        ({"cups": 0}, [{"field": "cups", "message": "Input should be greater than or equal to 1"}]),
        (
            {"cups": 1, "mood": "good"},
            [{"field": "mood", "message": "This field is not known here; leave it out."}],
        ),
        (
            {"cups": 1, "extras": [{"milk": 1}, {"milk": "much"}]},
            [
                {
                    "field": "extras.1.milk",
                    "message": "Input should be a valid integer, unable to parse string as an integer",
                }
            ],
        ),
        (
            [],
            [
                {
                    "field": "body",
                    "message": "Input should be a valid dictionary or object to extract fields from",
                }
            ],
        ),
    ],
)
async def test_a_wrong_field_is_named(http: httpx.AsyncClient, body: Any, errors: list[dict[str, str]]) -> None:
    status, found = await answered(await http.post("/orders", json=body))

    assert found.pop("title").startswith("Unprocessable")
    assert (status, found) == (
        422,
        {
            "type": "about:blank",
            "status": 422,
            "code": "invalid_request",
            "detail": f"{errors[0]['field']}: {errors[0]['message']}",
            "errors": errors,
        },
    )


async def test_the_list_of_wrong_fields_ends_somewhere(http: httpx.AsyncClient) -> None:
    _, found = await answered(await http.post("/orders", json={f"field_{n}": n for n in range(100)}))

    assert len(found["errors"]) == MAX_FIELD_ERRORS


async def test_a_value_that_was_refused_is_not_repeated(http: httpx.AsyncClient) -> None:
    response = await http.post("/orders", json={"cups": "geheim"})

    assert "geheim" not in response.text


@pytest.mark.parametrize("content", [b"{", b'{"cups": 1,}', b"\xff", b'{"cups": 1} and more'])
async def test_a_body_that_is_no_json_is_malformed(http: httpx.AsyncClient, content: bytes) -> None:
    response = await http.post("/orders", content=content, headers={"Content-Type": "application/json"})

    assert await answered(response) == (
        400,
        problem(400, "Bad Request", "malformed_json", "The body is not valid JSON."),
    )


async def test_an_address_without_a_route_is_not_found(http: httpx.AsyncClient) -> None:
    assert await answered(await http.get("/nowhere")) == (
        404,
        problem(404, "Not Found", "not_found", "There is nothing at this address."),
    )


async def test_a_method_that_is_not_taken_is_said(http: httpx.AsyncClient) -> None:
    assert await answered(await http.delete("/problem")) == (
        405,
        problem(405, "Method Not Allowed", "method_not_allowed", "This address does not take that method."),
    )
