"""Which requests may come from where, in the mode without sign-in."""

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from gateway.host_guard import HostGuard

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(Request(scope).method)(scope, receive, send)


def client(*, bind: str = "127.0.0.1", allowed: frozenset[str] = frozenset()) -> httpx.AsyncClient:
    guard = HostGuard(inner, bind=bind, allowed=allowed)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=guard), base_url="http://localhost:8000")


async def status(
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    method: str = "GET",
    path: str = "/api/models",
    bind: str = "127.0.0.1",
    allowed: frozenset[str] = frozenset(),
) -> int:
    async with client(bind=bind, allowed=allowed) as http:
        return (await http.request(method, path, headers=headers)).status_code


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.8.8.8:80", "[::1]", "[::1]:8000"],
)
async def test_loopback_names_and_addresses_are_ours_on_any_port(host: str) -> None:
    assert await status({"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "192.168.1.5",
        "0.0.0.0",
        "127.0.0.1.nip.io",
        "a@localhost",
        "localhost/evil",
        "localhost:x",
        "",
    ],
)
async def test_any_other_name_is_refused_whatever_it_resolves_to(host: str) -> None:
    assert await status({"Host": host}) == 421


async def test_two_host_headers_are_refused() -> None:
    assert await status([("Host", "localhost"), ("Host", "localhost")]) == 421


async def test_names_that_are_allowed_are_ours() -> None:
    allowed = frozenset({"chat.example", "other.example:444"})
    hosts = ["chat.example", "chat.example:8443", "other.example:444", "other.example"]
    assert [await status({"Host": host}, allowed=allowed) for host in hosts] == [200, 200, 200, 421]


async def test_the_address_that_is_bound_is_ours() -> None:
    assert await status({"Host": "192.168.1.5:8000"}, bind="192.168.1.5") == 200


@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
async def test_binding_every_address_makes_no_address_ours(bind: str) -> None:
    assert await status({"Host": "192.168.1.5:8000"}, bind=bind) == 421


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("localhost", "http://localhost"),
        ("localhost", "http://localhost:80"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("localhost", "https://localhost"),
    ],
)
async def test_our_own_origin_may_post(host: str, origin: str) -> None:
    assert await status({"Host": host, "Origin": origin}, method="POST") == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:3000",
        "http://127.0.0.1:8000",
        "null",
        "file://",
        "http://localhost:8000.evil.example",
        "http://localhost:x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_any_other_origin_is_refused(origin: str, method: str) -> None:
    assert await status({"Host": "localhost:8000", "Origin": origin}, method=method) == 403


async def test_an_origin_that_is_allowed_may_post() -> None:
    headers = {"Host": "localhost:8000", "Origin": "http://localhost:5173"}
    assert await status(headers, method="POST", allowed=frozenset({"localhost:5173"})) == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_request_that_another_sites_page_makes_is_refused(site: str) -> None:
    assert await status({"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}) == 403


async def test_a_link_from_another_site_may_lead_here() -> None:
    assert await status({"Sec-Fetch-Site": "cross-site", **NAVIGATION}, path="/") == 200


async def test_a_form_or_a_frame_of_another_site_may_not() -> None:
    frame = {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}
    assert await status({"Sec-Fetch-Site": "cross-site", **NAVIGATION}, method="POST") == 403
    assert await status({"Sec-Fetch-Site": "cross-site", **frame}) == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_our_own_page_and_the_address_bar_may(site: str) -> None:
    assert await status({"Sec-Fetch-Site": site}, method="POST") == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_may_call_by_any_address(path: str) -> None:
    assert await status({"Host": "10.0.0.7:8000"}, path=path) == 200


async def test_a_refusal_has_the_shape_of_its_path() -> None:
    async with client() as http:
        api = await http.get("/api/models", headers={"Host": "evil.example"})
        openai = await http.get("/v1/models", headers={"Host": "evil.example"})
    assert (api.headers["content-type"], api.json()["code"]) == ("application/problem+json", "host_not_allowed")
    assert (openai.headers["content-type"], openai.json()["error"]["code"]) == ("application/json", "host_not_allowed")
