"""Each way in which a real provider can fail is one error of ours, and nothing of ours but the request reaches it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from chat.catalogue import Catalogue, ModelRoute, Provider
from chat.errors import (
    ProviderCut,
    ProviderError,
    ProviderFailed,
    ProviderGarbled,
    ProviderRefused,
    ProviderSilent,
    ProviderUnreachable,
)
from chat.models_file import ModelEntry
from chat.provider.client import ProviderClients
from chat.provider.stream import AnsweringModel, ExtraDelta, Finished, ReportedUsage, StreamItem, TextDelta
from parts.background_server import HOST
from parts.plans import Break, CallTool, Garbage, Hang, Plan, Reason, Refuse, Say, plan, says
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until
from wire.telemetry.spans import background_transaction

Route = Callable[[str], ModelRoute]


@pytest.fixture
def route(catalogue: Catalogue) -> Route:
    def route(name: str) -> ModelRoute:
        found = catalogue.route(name)
        assert found is not None
        return found

    return route


async def read(
    clients: ProviderClients, route: ModelRoute, prompt: str, parameters: dict[str, Any] | None = None
) -> list[StreamItem]:
    async with clients.stream(route, [{"role": "user", "content": prompt}], parameters or {}) as items:
        return [item async for item in items]


async def failure_of(
    clients: ProviderClients, route: ModelRoute, prompt: str
) -> tuple[list[StreamItem], ProviderError]:
    """What came before the error, and the error."""
    came: list[StreamItem] = []
    try:
        async with clients.stream(route, [{"role": "user", "content": prompt}], {}) as items:
            async for item in items:
                came.append(item)
    except ProviderError as error:
        return [item for item in came if not isinstance(item, AnsweringModel)], error
    raise AssertionError(f"no failure but {came}")


async def test_an_answer_comes_item_by_item(
    provider: ScriptedProvider, clients: ProviderClients, route: Route, prompt: str
) -> None:
    provider.on(prompt, plan(Reason("Hm."), Say("Hello there"), cached_tokens=3))
    items = await read(clients, route("beta"), prompt)
    [call] = provider.calls_for(prompt)
    assert items == [
        AnsweringModel("beta-2026"),
        ExtraDelta({"reasoning_content": "Hm."}, None),
        TextDelta("Hello"),
        TextDelta(" there"),
        Finished("stop"),
        ReportedUsage(call.prompt_tokens, 3, 3, 1),
    ]


async def test_a_request_is_what_the_caller_asks_for_under_the_providers_own_name_and_key(
    provider: ScriptedProvider, clients: ProviderClients, route: Route, prompt: str
) -> None:
    provider.on(prompt, says("Yes"))
    await read(clients, route("beta"), prompt, {"temperature": 0.5, "seed": 7})
    [call] = provider.calls_for(prompt)
    assert call.body == {
        "model": "beta-2026",
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "seed": 7,
    }
    assert call.headers["authorization"] == "Bearer sk-of-the-scripted-provider"


async def test_a_tool_call_comes_as_the_provider_sends_it(
    provider: ScriptedProvider, clients: ProviderClients, route: Route, prompt: str
) -> None:
    provider.on(prompt, plan(CallTool("call_1", "look", '{"at":"it"}')))
    items = await read(clients, route("alpha"), prompt)
    [first, rest] = [item for item in items if isinstance(item, ExtraDelta)]
    assert first.delta["tool_calls"][0]["id"] == "call_1"
    assert [d.delta["tool_calls"][0]["function"]["arguments"] for d in (first, rest)] == ['{"at"', ':"it"}']
    assert Finished("tool_calls") in items


@pytest.mark.parametrize(
    ("status", "retryable", "worth_reporting", "words"),
    [
        (400, False, False, "refused this request (status 400)"),
        (401, False, True, "does not accept the configured key"),
        (403, False, True, "does not allow this"),
        (404, False, False, "does not know this model"),
        (408, True, False, "refused this request (status 408)"),
        (413, False, False, "too large"),
        (429, True, False, "busy or its limit is reached"),
    ],
)
async def test_a_refusal_says_which_and_whether_trying_again_helps(
    provider: ScriptedProvider,
    clients: ProviderClients,
    route: Route,
    prompt: str,
    status: int,
    retryable: bool,
    worth_reporting: bool,
    words: str,
) -> None:
    provider.on(prompt, plan(Refuse(status, "a secret of the provider")))
    came, error = await failure_of(clients, route("alpha"), prompt)
    assert isinstance(error, ProviderRefused)
    assert (came, error.status, error.retryable, error.worth_reporting) == ([], status, retryable, worth_reporting)
    assert words in error.message
    assert "secret" not in error.message + str(error)


async def test_a_request_is_sent_once_however_it_ends(
    provider: ScriptedProvider, clients: ProviderClients, route: Route, prompt: str
) -> None:
    provider.on(prompt, plan(Refuse(500)))
    await failure_of(clients, route("alpha"), prompt)
    assert len(provider.calls_for(prompt)) == 1


@pytest.mark.parametrize(
    ("model", "steps", "kind", "said"),
    [
        ("alpha", plan(Refuse(500)), ProviderFailed, []),
        ("alpha", plan(Refuse(503)), ProviderFailed, []),
        ("alpha", plan(Say("So far"), Refuse(500)), ProviderFailed, ["So", " far"]),
        ("alpha", plan(Break()), ProviderFailed, []),
        ("alpha", plan(Say("So far"), Break()), ProviderCut, ["So", " far"]),
        ("alpha", plan(Garbage("data: {not json")), ProviderGarbled, []),
        ("alpha", plan(Say("So far"), Garbage("data: []")), ProviderGarbled, ["So", " far"]),
        ("impatient", plan(Hang()), ProviderSilent, []),
        ("impatient", plan(Say("So far"), Hang()), ProviderSilent, ["So", " far"]),
        ("unreachable", plan(), ProviderUnreachable, []),
    ],
    ids=lambda value: f"{value!s:.40}",
)
async def test_a_failure_is_one_error_after_what_came_before_it(
    provider: ScriptedProvider,
    clients: ProviderClients,
    route: Route,
    prompt: str,
    model: str,
    steps: Plan,
    kind: type[ProviderError],
    said: list[str],
) -> None:
    provider.on(prompt, steps)
    came, error = await failure_of(clients, route(model), prompt)
    assert (type(error), error.retryable, error.worth_reporting) == (kind, True, True)
    assert came == [TextDelta(text) for text in said]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ProviderUnreachable),
        (b"\x00\x01\x02 no HTTP at all\r\n\r\n", ProviderUnreachable),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>", ProviderGarbled),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ProviderCut),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ndata: {}\n\n", ProviderCut),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", ProviderCut),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 8\r\n\r\nnot gzip", ProviderCut),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", ProviderRefused),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 3\r\n\r\nno!", ProviderFailed),
    ],
    ids=lambda value: f"{value!r:.60}",
)
async def test_a_server_that_hardly_speaks_http_is_one_error_too(
    clients: ProviderClients, answer: bytes, kind: type[ProviderError]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        _, error = await failure_of(clients, route_to(f"http://{HOST}:{port}/v1"), "Anyone there?")
    assert type(error) is kind


@pytest.mark.parametrize("base_url", ["http://no-such-host.invalid/v1", "http://127.0.0.1:1/v1"])
async def test_an_address_where_nobody_answers_is_unreachable(clients: ProviderClients, base_url: str) -> None:
    _, error = await failure_of(clients, route_to(base_url), "Anyone there?")
    assert type(error) is ProviderUnreachable


async def test_preparing_asks_nobody_and_the_first_call_is_as_any_other(
    provider: ScriptedProvider, clients: ProviderClients, catalogue: Catalogue, route: Route, prompt: str
) -> None:
    asked = len(provider.calls)
    clients.prepare(catalogue.providers)
    assert len(provider.calls) == asked
    provider.on(prompt, says("Yes"))
    assert TextDelta("Yes") in await read(clients, route("alpha"), prompt)


async def test_leaving_an_answer_stops_the_provider(
    provider: ScriptedProvider, clients: ProviderClients, route: Route, prompt: str
) -> None:
    provider.on(prompt, plan(Say("Once upon a time"), Hang()))
    async with clients.stream(route("alpha"), [{"role": "user", "content": prompt}], {}) as items:
        async for item in items:
            if item == TextDelta(" time"):
                break
    await until(lambda: provider.calls_for(prompt)[0].outcome == "abandoned", "the provider has noticed")


@pytest.mark.parametrize(
    "end",
    [b"data: [DONE]\n\n", b"data: [DONE]\n\n: goodbye\n\n"],
    ids=["done", "done and a comment"],
)
async def test_a_connection_that_brought_a_whole_answer_brings_the_next_one(
    clients: ProviderClients, end: bytes
) -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"Yes"},"finish_reason":"stop"}]}\n\n'
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                for part in (chunk, end):
                    writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    route = route_to(f"http://{HOST}:{server.sockets[0].getsockname()[1]}/v1")
    async with server:
        for _ in range(3):
            assert TextDelta("Yes") in await read(clients, route, "Anyone there?")
        await clients.close()
    assert opened == 1


async def test_an_answer_after_whose_end_the_provider_goes_on_holds_nobody_up(clients: ProviderClients) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.write(b'data: {"choices":[{"index":0,"delta":{"content":"Yes"},"finish_reason":"stop"}]}\n\n')
        writer.write(b"data: [DONE]\n\n")
        await reader.read()  # until the caller is gone
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server, asyncio.timeout(1):
        route = route_to(f"http://{HOST}:{server.sockets[0].getsockname()[1]}/v1")
        assert await read(clients, route, "Anyone there?") == [TextDelta("Yes"), Finished("stop")]


async def test_the_models_of_a_provider_are_listed_by_name(clients: ProviderClients, route: Route) -> None:
    assert sorted(await clients.list_models(route("alpha").provider)) == [
        "alpha",
        "beta-2026",
        "impatient",
        "once",
        "prefilling",
    ]


async def test_no_trace_header_reaches_the_provider_while_a_sampled_trace_is_open(
    provider: ScriptedProvider, clients: ProviderClients, route: Route, prompt: str, sentry: Any
) -> None:
    with background_transaction("answers"):
        await read(clients, route("alpha"), prompt)
    [transaction] = sentry.transactions("answers")
    [call] = provider.calls_for(prompt)
    assert {"sentry-trace", "baggage", "traceparent"} & call.headers.keys() == set()
    assert transaction["contexts"]["trace"]["trace_id"] not in str(call.headers) + str(call.body)


def route_to(base_url: str, *, key: str | None = None) -> ModelRoute:
    provider = Provider("raw", base_url, SecretStr(key) if key else None)
    return ModelRoute("any", provider, ModelEntry(provider="raw", connect_timeout_s=2, idle_timeout_s=2))
