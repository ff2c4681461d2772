"""`/v1` over a real socket with the official client, and turns that chat tells of."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from structlog.testing import capture_logs

from parts.waiting import until
from wire.contracts.chat import Turn
from wire.problems import Problem

from .conftest import Gateway
from .turns import FAILURE, USAGE, delta, end, entry, restart, turn

ASKS: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello?"}]


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-any", max_retries=0, timeout=30) as client:
        yield client


def accepts(gateway: Gateway, accepted: Turn) -> Turn:
    gateway.chat.next_turn = accepted
    return accepted


async def test_a_whole_answer_is_read_from_chat_at_its_end(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    accepts(gateway, turn("complete", "Hello", usage=USAGE))
    answer = await client.chat.completions.create(model="alpha", messages=ASKS, temperature=0.5)
    assert answer.choices[0].message.content == "Hello"
    sent = gateway.chat.last("POST", "/turns").body
    assert (sent["text"], sent["model"]) == ("Hello?", "alpha")
    assert sent["completion"] == {"messages": ASKS, "parameters": {"temperature": 0.5}}


async def test_a_streamed_answer_with_usage(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    running = accepts(gateway, turn("queued", attempt=0))
    await gateway.publish(
        running.id, delta(1, 0, "Hel"), delta(2, 3, "lo"), entry(3, "usage", USAGE.model_dump()), end(4, 5)
    )
    stream = await client.chat.completions.create(
        model="alpha", messages=ASKS, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "Hello"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (chunks[-1].choices, chunks[-1].usage and chunks[-1].usage.total_tokens) == ([], 8)
    assert gateway.chat.stopped == []


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_turn_that_fails_before_its_first_word_is_an_error_status(
    gateway: Gateway, client: openai.AsyncOpenAI, *, streamed: bool
) -> None:
    accepts(gateway, turn("failed", "", error=FAILURE))
    with pytest.raises(openai.InternalServerError) as failed:
        await client.chat.completions.create(model="alpha", messages=ASKS, stream=streamed)
    assert (failed.value.status_code, failed.value.code, failed.value.type) == (503, "provider_failed", "server_error")
    assert failed.value.response.headers["x-should-retry"] == "true"


async def test_a_turn_that_fails_later_is_an_error_in_the_stream(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    running = accepts(gateway, turn("queued", attempt=0))
    await gateway.publish(running.id, delta(1, 0, "So far"), entry(2, "error", FAILURE.model_dump() | {"length": 6}))
    said: list[str] = []
    stream = await client.chat.completions.create(model="alpha", messages=ASKS, stream=True)
    with pytest.raises(openai.APIError, match="provider had an error"):  # noqa: PT012  the loop fails after some rounds
        async for chunk in stream:
            said.append(chunk.choices[0].delta.content or "")
    assert "".join(said) == "So far"


async def test_a_take_over_with_the_same_words_goes_on_after_them(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    running = accepts(gateway, turn("queued", attempt=0))
    again = delta(1, 0, "Hello again", attempt=2)
    await gateway.publish(running.id, delta(1, 0, "Hello"), restart(2, 0), again, end(2, 11, attempt=2))
    stream = await client.chat.completions.create(model="alpha", messages=ASKS, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello again"


async def test_a_take_over_with_other_words_is_an_error_and_stops_the_turn(
    gateway: Gateway, client: openai.AsyncOpenAI
) -> None:
    running = accepts(gateway, turn("queued", attempt=0))
    await gateway.publish(running.id, delta(1, 0, "Hello"), restart(2, 0), delta(1, 0, "Good", attempt=2))
    stream = await client.chat.completions.create(model="alpha", messages=ASKS, stream=True)
    with pytest.raises(openai.APIError, match="begun again"):
        async for _chunk in stream:
            pass
    await until(lambda: gateway.chat.stopped == [running.id], "the turn is stopped")


async def test_a_caller_who_hangs_up_stops_a_stream(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    running = accepts(gateway, turn("queued", attempt=0))
    await gateway.publish(running.id, delta(1, 0, "Hel"))
    stream = await client.chat.completions.create(model="alpha", messages=ASKS, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await until(lambda: gateway.chat.stopped == [running.id], "the turn is stopped")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_caller_who_hangs_up_before_the_first_word_stops_the_turn(
    gateway: Gateway, client: openai.AsyncOpenAI, *, streamed: bool
) -> None:
    running = accepts(gateway, turn("queued", attempt=0))
    call = asyncio.create_task(client.chat.completions.create(model="alpha", messages=ASKS, stream=streamed))
    await until(lambda: running.id in gateway.chat.turns, "the turn is accepted")
    call.cancel()
    await until(lambda: gateway.chat.stopped == [running.id], "the turn is stopped")


async def test_a_caller_with_an_idempotency_key_may_come_back_for_the_answer(
    gateway: Gateway, client: openai.AsyncOpenAI
) -> None:
    running = accepts(gateway, turn("queued", attempt=0))
    await gateway.publish(running.id, delta(1, 0, "Hel"))
    headers = {"Idempotency-Key": "k"}
    stream = await client.chat.completions.create(model="alpha", messages=ASKS, stream=True, extra_headers=headers)
    await anext(aiter(stream))
    with capture_logs() as lines:
        await stream.close()
        await until(lambda: [line for line in lines if line["event"] == "request"], "the gateway has noticed")
    assert "caller hung up, turn goes on" in [line["event"] for line in lines]
    assert gateway.chat.stopped == []


async def test_a_gateway_that_drains_is_an_error_and_leaves_the_turn(
    gateway: Gateway, client: openai.AsyncOpenAI
) -> None:
    running = accepts(gateway, turn("queued", attempt=0))
    call = asyncio.create_task(client.chat.completions.create(model="alpha", messages=ASKS))
    await until(lambda: running.id in gateway.chat.turns, "the turn is accepted")
    gateway.drain()
    with pytest.raises(openai.InternalServerError) as failed:
        await call
    assert failed.value.code == "interrupted"
    assert gateway.chat.stopped == []


async def test_a_model_with_a_slash_in_its_name_is_retrieved(client: openai.AsyncOpenAI) -> None:
    assert (await client.models.retrieve("org/beta")).owned_by == "scripted"
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.models.retrieve("gamma")
    assert unknown.value.code == "model_not_found"


async def test_what_chat_objects_to_has_openais_shape_and_names(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    errors = [{"field": "text", "message": "no"}]
    gateway.chat.objection = Problem(422, "invalid_request", "text: no", errors=errors)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="alpha", messages=ASKS)
    assert (refused.value.param, refused.value.type) == ("messages", "invalid_request_error")


async def test_a_key_that_nobody_has_is_refused(gateway: Gateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="hl_nobody", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
    assert refused.value.code == "invalid_api_key"


async def test_an_address_that_is_not_there_has_openais_shape(gateway: Gateway) -> None:
    response = await gateway.http.post("/v1/embeddings", json={})
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "invalid_request_error"
