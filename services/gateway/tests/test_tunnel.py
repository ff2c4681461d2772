"""The tunnel of the page's telemetry: to our own Sentry and nowhere else."""

import asyncio

import httpx
import pytest

from gateway.tunnel import AT_ONCE, Dsn, Tunnel, refuse_foreign_envelope
from wire.problems import Problem

OWN = Dsn.parse("https://abc@sentry.example:9000/prefix/42")


def envelope(dsn: str, payload: bytes = b'{"type":"event"}\n{}') -> bytes:
    return b'{"event_id":"1","dsn":"%b"}\n' % dsn.encode() + payload


def test_a_dsn_says_where_envelopes_go() -> None:
    assert OWN.envelope_url == "https://sentry.example:9000/prefix/api/42/envelope/"
    assert Dsn.parse("http://spotlight@127.0.0.1:8969/1").envelope_url == "http://127.0.0.1:8969/api/1/envelope/"


@pytest.mark.parametrize("text", ["", "https://sentry.example/1", "https://k@sentry.example/", "ftp://k@h/1", "k@h/1"])
def test_what_is_no_dsn_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a DSN"):
        Dsn.parse(text)


def test_our_own_envelope_may_pass() -> None:
    refuse_foreign_envelope(envelope("https://abc@sentry.example:9000/prefix/42"), OWN)


@pytest.mark.parametrize(
    "dsn",
    [
        "https://abc@evil.example:9000/prefix/42",
        "https://abc@sentry.example/prefix/42",
        "https://abc@sentry.example:9000/42",
        "https://abc@sentry.example:9000/prefix/43",
        "https://other@sentry.example:9000/prefix/42",
        "https://abc@sentry.example:9000@evil.example/prefix/42",
    ],
)
def test_an_envelope_for_another_host_project_or_key_is_refused(dsn: str) -> None:
    with pytest.raises(Problem) as refused:
        refuse_foreign_envelope(envelope(dsn), OWN)
    assert (refused.value.status, refused.value.code) == (400, "foreign_dsn")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]\n", b"null\n", b"\xff\xfe\n", b'{"dsn": 1}\n', b'{"dsn": "http://[bad"}\n', b"x" * 50_000],
    ids=lambda body: f"{body!r:.20}",
)
def test_what_is_no_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        refuse_foreign_envelope(body, OWN)
    assert (refused.value.status, refused.value.code) == (400, "not_an_envelope")


async def test_an_envelope_is_passed_on_byte_by_byte_without_headers_of_ours() -> None:
    seen: list[httpx.Request] = []

    def sentry(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(429, text="what Sentry says stays here")

    body = envelope("https://abc@sentry.example:9000/prefix/42", b"\x00\xff binary")
    async with httpx.AsyncClient(transport=httpx.MockTransport(sentry)) as http:
        await Tunnel(http, OWN).forward_envelope(body)
    [request] = seen
    assert (str(request.url), request.content) == (OWN.envelope_url, body)
    assert not {"sentry-trace", "baggage", "authorization", "cookie"} & set(request.headers)


async def test_a_sentry_that_is_away_is_not_the_pages_problem() -> None:
    def away(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with httpx.AsyncClient(transport=httpx.MockTransport(away)) as http:
        await Tunnel(http, OWN).forward_envelope(envelope("https://abc@sentry.example:9000/prefix/42"))


async def test_a_few_envelopes_are_under_way_at_once() -> None:
    answer = asyncio.Event()

    async def slow(_request: httpx.Request) -> httpx.Response:
        await answer.wait()
        return httpx.Response(200)

    body = envelope("https://abc@sentry.example:9000/prefix/42")
    async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as http:
        tunnel = Tunnel(http, OWN)
        under_way = [asyncio.create_task(tunnel.forward_envelope(body)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await tunnel.forward_envelope(body)
        answer.set()
        await asyncio.gather(*under_way)
        await tunnel.forward_envelope(body)
    assert refused.value.status == 429
