"""The middleware every process has: a limit on bodies, a line a request."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from wire.asgi import LimitBody, LogRequests
from wire.problems import install_problem_handlers
from wire.telemetry.spans import background_transaction, current_trace_id

LIMIT = 100
TOO_LARGE = (413, "body_too_large")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    install_problem_handlers(app)

    @app.post("/echo")
    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @app.get("/healthz")
    async def healthz() -> None:
        return

    app.add_middleware(LimitBody, max_bytes=LIMIT)
    app.add_middleware(LogRequests)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def body_of(size: int) -> bytes:
    return b'{"text":"' + b"x" * (size - 11) + b'"}'


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 30):
        yield body[start : start + 30]


JSON = {"Content-Type": "application/json"}


async def test_a_body_of_the_largest_size_passes(http: httpx.AsyncClient) -> None:
    response = await http.post("/echo", content=body_of(LIMIT), headers=JSON)

    assert (response.status_code, response.json()) == (200, {"text": "x" * (LIMIT - 11)})


async def test_a_body_that_says_it_is_too_large_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.post("/echo", content=body_of(LIMIT + 1), headers=JSON)

    assert (response.status_code, response.json()["code"]) == TOO_LARGE


async def test_a_body_that_turns_out_too_large_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.post("/echo", content=in_pieces(body_of(LIMIT + 1)), headers=JSON)

    assert "content-length" not in response.request.headers
    assert (response.status_code, response.json()["code"]) == TOO_LARGE


async def test_a_bare_app_is_protected_too() -> None:
    async def read_all(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    transport = httpx.ASGITransport(LimitBody(read_all, max_bytes=LIMIT))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.post("/", content=in_pieces(body_of(LIMIT + 1)))

    assert (response.status_code, response.json()["code"]) == TOO_LARGE


async def test_a_request_is_one_line_without_its_query(http: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        await http.post("/echo?text=geheim", content=b'{"text":"geheim"}', headers=JSON)

    ours = [line for line in lines if line["event"] == "request"]
    assert ours[0].pop("duration_ms") >= 0
    assert ours == [{"event": "request", "log_level": "info", "method": "POST", "path": "/echo", "status": 200}]


async def test_probes_write_no_line(http: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        await http.get("/healthz")

    assert lines == []


async def test_a_response_names_its_trace(http: httpx.AsyncClient) -> None:
    with background_transaction("a test"):
        response = await http.get("/nowhere")
        assert response.headers["x-trace-id"] == response.json()["trace_id"] == current_trace_id()
