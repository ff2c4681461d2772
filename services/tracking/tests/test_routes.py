"""Tracking's HTTP edge: who may ask, what is refused and how, and that nobody sees another's rows."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import jwt
import pytest

from tracking.record_usage import record_usage
from wire.contracts.jobs import switch_started_event_id
from wire.database import Database
from wire.ids import PersonId, new_id
from wire.service_tokens import NOBODY, ServiceAuth

Sign = Callable[..., ServiceAuth]

ROUTES = [
    ("POST", "/switches"),
    ("GET", "/usage"),
    ("GET", f"/sessions/{new_id()}/usage"),
    ("POST", "/events/held"),
]
NO_CALLS: dict[str, Any] = {
    "calls": 0,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
    "cost_usd": None,
    "unpriced_calls": 0,
}


def without_trace(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    body.pop("trace_id", None)
    return body


@pytest.fixture
def new_switch(session: str) -> dict[str, Any]:
    return {"tracking_id": new_id(), "session_id": session, "from_model": "alpha", "to_model": "beta"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_request_without_a_token_is_refused(http: httpx.AsyncClient, method: str, path: str) -> None:
    response = await http.request(method, path, json={})

    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, without_trace(response)) == (
        401,
        {
            "type": "about:blank",
            "title": "Unauthorized",
            "status": 401,
            "code": "service_token_required",
            "detail": "This service answers signed service tokens only.",
        },
    )


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_token_for_another_service_is_refused(
    http: httpx.AsyncClient, signed: Sign, person: PersonId, method: str, path: str
) -> None:
    response = await http.request(method, path, json={}, auth=signed(person, audience="chat"))

    assert (response.status_code, response.json()["code"]) == (401, "service_token_refused")


async def test_a_token_of_another_key_is_refused(http: httpx.AsyncClient, signed: Sign, person: PersonId) -> None:
    response = await http.get("/usage", auth=signed(person, key="a key that nobody gave to tracking"))

    assert (response.status_code, response.json()["code"]) == (401, "service_token_refused")


async def test_an_expired_token_is_refused(
    http: httpx.AsyncClient, signed: Sign, person: PersonId, service_key: str
) -> None:
    token = jwt.encode(
        {"iss": "gateway", "aud": "tracking", "sub": person, "exp": 1_700_000_000}, service_key, algorithm="HS256"
    )

    response = await http.get("/usage", headers={"Authorization": f"Bearer {token}"})

    assert (response.status_code, response.json()["code"]) == (401, "service_token_refused")


async def test_a_persons_key_is_no_service_token(http: httpx.AsyncClient) -> None:
    response = await http.get("/usage", headers={"Authorization": "Bearer hl_0123456789abcdef"})

    assert (response.status_code, response.json()["code"]) == (401, "service_token_refused")


async def test_nobody_has_no_report(http: httpx.AsyncClient, signed: Sign) -> None:
    response = await http.get("/usage", auth=signed(NOBODY))

    assert (response.status_code, response.json()["code"]) == (403, "person_required")


async def test_a_person_may_not_ask_which_events_are_held(
    http: httpx.AsyncClient, signed: Sign, person: PersonId
) -> None:
    response = await http.post("/events/held", json={"ids": []}, auth=signed(person))

    assert (response.status_code, response.json()["code"]) == (403, "sweep_only")


async def test_a_sweep_learns_which_events_are_held(
    http: httpx.AsyncClient, signed: Sign, database: Database, call: Any
) -> None:
    event = call()
    await record_usage(database, event)

    response = await http.post("/events/held", json={"ids": [event.event_id, "unknown"]}, auth=signed(NOBODY))

    assert (response.status_code, response.json()) == (200, {"held": [event.event_id]})


async def test_a_sweep_asks_for_no_more_than_a_thousand_at_once(http: httpx.AsyncClient, signed: Sign) -> None:
    response = await http.post("/events/held", json={"ids": ["x"] * 1001}, auth=signed(NOBODY))

    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "ids")


async def test_a_switch_is_recorded_and_estimated(
    http: httpx.AsyncClient,
    signed: Sign,
    database: Database,
    person: PersonId,
    call: Any,
    new_switch: dict[str, Any],
) -> None:
    await record_usage(database, call())
    price = {"input": "1.5", "output": "6"}

    response = await http.post("/switches", json=new_switch | {"to_price": price}, auth=signed(person))

    assert (response.status_code, response.json()) == (
        200,
        {
            "tracking_id": new_switch["tracking_id"],
            "from_model": "alpha",
            "to_model": "beta",
            "estimate": {"context_tokens": 110, "cost_usd": "0.000165"},
        },
    )


async def test_the_same_switch_again_is_answered_the_same_and_recorded_once(
    http: httpx.AsyncClient, signed: Sign, person: PersonId, session: str, new_switch: dict[str, Any]
) -> None:
    first = await http.post("/switches", json=new_switch, auth=signed(person))
    account = (await http.get(f"/sessions/{session}/usage", auth=signed(person))).json()

    second = await http.post("/switches", json=new_switch, auth=signed(person))

    assert (second.status_code, second.json()) == (200, first.json())
    assert (await http.get(f"/sessions/{session}/usage", auth=signed(person))).json() == account
    started_at = account["switches"][0].pop("started_at")
    assert started_at.endswith("Z")
    assert account == {
        "session_id": session,
        "models": [],
        "switches": [
            {
                "tracking_id": new_switch["tracking_id"],
                "from_model": "alpha",
                "to_model": "beta",
                "reason": "user",
                "state": "started",
                "completed_at": None,
                "turn_id": None,
            }
        ],
        "total": NO_CALLS,
    }


async def test_a_tracking_id_with_other_content_is_a_conflict(
    http: httpx.AsyncClient, signed: Sign, person: PersonId, new_switch: dict[str, Any]
) -> None:
    await http.post("/switches", json=new_switch, auth=signed(person))

    response = await http.post("/switches", json=new_switch | {"to_model": "gamma"}, auth=signed(person))

    assert (response.status_code, without_trace(response)) == (
        409,
        {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "code": "switch_conflict",
            "detail": "This tracking_id already names another model switch.",
            "errors": [{"field": "tracking_id", "message": "Already used for another model switch."}],
        },
    )


async def test_a_switch_of_a_person_is_recorded_for_the_person_of_the_token(
    http: httpx.AsyncClient, signed: Sign, person: PersonId, session: str, new_switch: dict[str, Any]
) -> None:
    await http.post("/switches", json=new_switch, auth=signed(person))

    seen_by_a_stranger = await http.get(f"/sessions/{session}/usage", auth=signed(new_id()))

    assert seen_by_a_stranger.json()["switches"] == []


async def test_a_strangers_conversation_answers_as_an_unknown_one(
    http: httpx.AsyncClient, signed: Sign, database: Database, call: Any, session: str
) -> None:
    await record_usage(database, call())
    stranger, unknown = new_id(), new_id()

    foreign = await http.get(f"/sessions/{session}/usage", auth=signed(stranger))

    assert (foreign.status_code, foreign.json()) == (
        200,
        {"session_id": session, "models": [], "switches": [], "total": NO_CALLS},
    )
    assert (await http.get(f"/sessions/{unknown}/usage", auth=signed(stranger))).json() == foreign.json() | {
        "session_id": unknown
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tracking_id": "7"}, "tracking_id"),
        ({"session_id": None}, "session_id"),
        ({"from_model": ""}, "from_model"),
        ({"to_model": "x" * 201}, "to_model"),
        ({"to_model": "nul\0"}, "to_model"),
        ({"reason": "boredom"}, "reason"),
        ({"to_price": {"input": "much", "output": "1"}}, "to_price.input"),
        ({"metadata": "none"}, "metadata"),
        ({"metadata": {"note": "nul\0"}}, "metadata"),
        ({"metadata": {"note": "x" * 5000}}, "metadata"),
        ({"mood": "good"}, "mood"),
    ],
    ids=lambda value: str(value)[:40].replace("\0", ""),
)
async def test_a_wrong_field_of_a_switch_is_named(
    http: httpx.AsyncClient,
    signed: Sign,
    person: PersonId,
    new_switch: dict[str, Any],
    change: dict[str, Any],
    field: str,
) -> None:
    response = await http.post("/switches", json=new_switch | change, auth=signed(person))

    assert (response.status_code, [error["field"] for error in response.json()["errors"]]) == (422, [field])


async def test_a_body_that_is_no_json_is_malformed(http: httpx.AsyncClient, signed: Sign, person: PersonId) -> None:
    response = await http.post(
        "/switches", content=b'{"tracking_id"', headers={"Content-Type": "application/json"}, auth=signed(person)
    )

    assert (response.status_code, response.json()["code"]) == (400, "malformed_json")


async def test_a_body_of_a_megabyte_is_too_large(http: httpx.AsyncClient, signed: Sign, person: PersonId) -> None:
    response = await http.post("/switches", json={"metadata": {"x": "x" * 1_000_000}}, auth=signed(person))

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("", ["2026-11-23", "2026-11-24", "2026-11-25"]),
        ("from=2026-11-24", ["2026-11-24", "2026-11-25"]),
        ("to=2026-11-24", ["2026-11-23", "2026-11-24"]),
        ("from=2026-11-24&to=2026-11-24", ["2026-11-24"]),
        ("from=2026-11-23T12:00:01&to=2026-11-25T12:00:00Z", ["2026-11-24"]),
        ("from=2026-11-24T14:00:00%2B02:00", ["2026-11-24", "2026-11-25"]),
    ],
)
async def test_a_report_covers_the_days_that_were_asked_for(
    http: httpx.AsyncClient,
    signed: Sign,
    database: Database,
    call: Any,
    person: PersonId,
    query: str,
    days: list[str],
) -> None:
    for day in ("2026-11-23", "2026-11-24", "2026-11-25"):
        await record_usage(database, call(started_at=datetime.fromisoformat(f"{day}T12:00:00Z")))

    report = (await http.get(f"/usage?group_by=day&{query}", auth=signed(person))).json()

    assert [row["day"] for row in report["rows"]] == days


WANTED = "Write a date such as 2026-11-24 or a time such as 2026-11-24T08:30:00Z."


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("from=yesterday", [{"field": "from", "message": WANTED}]),
        ("to=2026-13-01", [{"field": "to", "message": WANTED}]),
        ("to=9999-12-31", [{"field": "to", "message": WANTED}]),
        ("from=0001-01-01T00:00:00%2B14:00", [{"field": "from", "message": WANTED}]),
        ("from=", [{"field": "from", "message": WANTED}]),
        ("from=2026-11-24&to=2026-11-23", [{"field": "to", "message": "The end must be later than the beginning."}]),
        (
            "group_by=colour",
            [{"field": "group_by", "message": "Input should be 'model', 'conversation', 'day' or 'person'"}],
        ),
        ("page=2", [{"field": "page", "message": "This field is not known here; leave it out."}]),
    ],
)
async def test_a_wrong_part_of_a_reports_query_is_named(
    http: httpx.AsyncClient, signed: Sign, person: PersonId, query: str, errors: list[dict[str, str]]
) -> None:
    response = await http.get(f"/usage?{query}", auth=signed(person))

    assert (response.status_code, response.json()["errors"]) == (422, errors)


async def test_a_report_has_exact_money_as_text(
    http: httpx.AsyncClient, signed: Sign, database: Database, call: Any, person: PersonId
) -> None:
    await record_usage(database, call())

    report = (await http.get("/usage", auth=signed(person))).json()

    sums = {
        "calls": 1,
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "total_tokens": 110,
        "cached_tokens": 20,
        "reasoning_tokens": 0,
        "cost_usd": "0.0000195",
        "unpriced_calls": 0,
    }
    others = {"conversation_id": None, "day": None, "person_id": None}
    assert report == {"rows": [{"model": "alpha", **sums, **others}], "total": sums}


@pytest.mark.parametrize("path", ["/usage", f"/sessions/{new_id()}/usage"])
async def test_a_database_that_is_away_is_a_clear_503(
    http_without_database: httpx.AsyncClient, signed: Sign, person: PersonId, path: str
) -> None:
    response = await http_without_database.get(path, auth=signed(person))

    assert response.headers["retry-after"] == "2"
    assert (response.status_code, without_trace(response)) == (
        503,
        {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "code": "database_unavailable",
            "detail": "The database can't be reached right now. Nothing was changed; try again in a moment.",
        },
    )


async def test_a_switch_start_over_http_is_held_for_the_sweep(
    http: httpx.AsyncClient, signed: Sign, person: PersonId, new_switch: dict[str, Any]
) -> None:
    await http.post("/switches", json=new_switch, auth=signed(person))
    event_id = switch_started_event_id(new_switch["tracking_id"])

    response = await http.post("/events/held", json={"ids": [event_id]}, auth=signed(NOBODY))

    assert response.json() == {"held": [event_id]}


async def test_healthz_looks_at_nothing(http_without_database: httpx.AsyncClient) -> None:
    response = await http_without_database.get("/healthz")

    assert (response.status_code, response.json()) == (
        200,
        {"status": "ok", "name": "tracking", "version": "0.1.0"},
    )


async def test_readyz_is_ready_with_its_database(http: httpx.AsyncClient) -> None:
    response = await http.get("/readyz")

    body = response.json()
    assert body["checks"]["database"].pop("latency_ms") > 0
    assert (response.status_code, body) == (
        200,
        {"status": "ready", "name": "tracking", "version": "0.1.0", "checks": {"database": {"state": "up"}}},
    )


async def test_readyz_is_not_ready_without_its_database(http_without_database: httpx.AsyncClient) -> None:
    response = await http_without_database.get("/readyz")

    body = response.json()
    assert body["checks"]["database"].pop("latency_ms") > 0
    assert (response.status_code, body) == (
        503,
        {"status": "not_ready", "name": "tracking", "version": "0.1.0", "checks": {"database": {"state": "down"}}},
    )
