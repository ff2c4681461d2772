"""Whom a request comes from is what the socket says, and what a trusted proxy says where there is one."""

from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from wire.serve import server_config

PROXY = "172.18.0.5"
FORWARDED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


async def say_who_asks(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope)
    assert request.client is not None
    await JSONResponse([request.url.scheme, request.client.host])(scope, receive, send)


@pytest.mark.parametrize(
    ("trusted", "asker", "seen"),
    [
        ("", PROXY, ["http", PROXY]),
        ("172.16.0.0/12,fc00::/7", PROXY, ["https", "203.0.113.7"]),
        ("172.16.0.0/12,fc00::/7", "198.51.100.9", ["http", "198.51.100.9"]),
    ],
)
async def test_forwarded_headers_are_believed_of_trusted_proxies_only(
    trusted: str, asker: str, seen: list[str]
) -> None:
    config = server_config(say_who_asks, "127.0.0.1", 8000, 1, trusted)
    config.load()
    app: Any = config.loaded_app  # uvicorn's own types of an ASGI app, which httpx does not know
    transport = httpx.ASGITransport(app, client=(asker, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        response = await http.get("/", headers=FORWARDED)
    assert response.json() == seen
