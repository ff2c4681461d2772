"""`/v1` with the official client, unchanged: what it asks, it gets, and every call is a turn like any other."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam

from e2e.edges import ANSWERING, CHAT_ACCEPTS, COUNTING, GATEWAY_FORWARDS, At, Edge, missing_edges
from e2e.hopline import Hopline, PageTrace
from e2e.models import ALL, DEFAULT
from e2e.person import Person
from parts.plans import Break, CallTool, Hang, Refuse, Say, plan, says
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
async def client(hopline: Hopline, ada_key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{hopline.url}/v1", api_key=ada_key, max_retries=0) as client:
        yield client


def asks(prompt: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": prompt}]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def stream(client: openai.AsyncOpenAI, prompt: str, **fields: Any) -> list[ChatCompletionChunk]:
    streaming = await client.chat.completions.create(model=DEFAULT, messages=asks(prompt), stream=True, **fields)
    return [chunk async for chunk in streaming]


async def test_the_models_are_listed(client: openai.AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    assert sorted(model.id for model in models) == sorted(ALL)
    assert {model.object for model in models} == {"model"}


async def test_a_whole_answer(client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str) -> None:
    provider.on(prompt, plan(Say("A whole answer"), cached_tokens=2))
    answer = await client.chat.completions.create(model=DEFAULT, messages=asks(prompt))
    [call] = provider.calls_for(prompt)
    [choice] = answer.choices
    assert (answer.object, answer.model) == ("chat.completion", DEFAULT)
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "A whole answer")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == call.prompt_tokens
    assert answer.usage.completion_tokens == call.completion_tokens
    assert answer.usage.total_tokens == call.prompt_tokens + call.completion_tokens
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 2


async def test_a_streamed_answer_with_usage(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    provider.on(prompt, says("Word by word"))
    *spoken, last = await stream(client, prompt, stream_options={"include_usage": True})
    [call] = provider.calls_for(prompt)
    assert text_of(spoken) == "Word by word"
    assert spoken[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in spoken if c.choices[0].finish_reason] == ["stop"]
    assert {(c.id, c.object, c.model) for c in spoken} == {(last.id, "chat.completion.chunk", DEFAULT)}
    assert [c.usage for c in spoken] == [None] * len(spoken)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (call.prompt_tokens, call.completion_tokens)


async def test_a_streamed_answer_has_no_usage_unless_asked_for(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    provider.on(prompt, says("Just words"))
    chunks = await stream(client, prompt)
    assert text_of(chunks) == "Just words"
    assert [chunk for chunk in chunks if chunk.usage is not None or not chunk.choices] == []


async def test_the_callers_history_and_parameters_are_taken_as_sent(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    history: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "Before"},
        {"role": "assistant", "content": "What I never said"},
        {"role": "user", "content": [{"type": "text", "text": prompt}]},
    ]
    parameters: dict[str, Any] = {"temperature": 0.25, "max_tokens": 50, "seed": 7, "stop": ["END"], "user": "u-1"}
    await client.chat.completions.create(model=DEFAULT, messages=history, **parameters)
    [call] = provider.calls_for(prompt)
    assert call.messages == history
    assert {name: call.body[name] for name in parameters} == parameters


async def test_tool_calls_go_through_streamed_and_whole(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    provider.on(prompt, plan(CallTool("call_1", "weather", '{"city": "Oslo"}')))
    whole = await client.chat.completions.create(model=DEFAULT, messages=asks(prompt), tools=[WEATHER])
    [choice] = whole.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    [called] = [call.to_dict() for call in choice.message.tool_calls]
    assert called == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
    }

    chunks = await stream(client, prompt, tools=[WEATHER])
    parts = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert parts[0].id == "call_1"
    assert "".join(part.function.arguments or "" for part in parts if part.function) == '{"city": "Oslo"}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_what_a_tool_answered_goes_back_as_sent(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    provider.on(prompt, says("Cold, then"))
    history: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": prompt},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "-4 °C"},
    ]
    answer = await client.chat.completions.create(model=DEFAULT, messages=history, tools=[WEATHER])
    [call] = provider.calls_for(prompt)
    assert answer.choices[0].message.content == "Cold, then"
    assert call.messages == history


async def test_an_unknown_field_is_refused_by_its_name(client: openai.AsyncOpenAI, prompt: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=DEFAULT, messages=asks(prompt), extra_body={"frobnicate": 1})
    assert refused.value.param == "frobnicate"
    assert "frobnicate" in refused.value.message
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": "Hello"},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "nobody", "content": "Hello"}]},
        {"messages": [{"role": "user", "content": "Hello"}], "temperature": "warm"},
        {"messages": [{"role": "user", "content": "x" * 1_000_000}]},
    ],
    ids=lambda value: f"{value!r:.60}",
)
async def test_a_request_that_can_not_be_used_is_a_bad_request(
    client: openai.AsyncOpenAI, fields: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=DEFAULT, **fields)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.param is not None


async def test_malformed_json_has_openais_error_shape(ada: Person) -> None:
    response = await ada.http.post("/v1/chat/completions", content=b"{", headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


async def test_an_unknown_model_is_not_found(client: openai.AsyncOpenAI, prompt: str) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.chat.completions.create(model="no-such-model", messages=asks(prompt))
    assert refused.value.code == "model_not_found"


async def test_a_key_that_nobody_has_is_refused(hopline: Hopline, prompt: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{hopline.url}/v1", api_key="hl_nobody", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model=DEFAULT, messages=asks(prompt))


async def test_without_sign_in_any_other_key_will_do(hopline: Hopline, prompt: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{hopline.url}/v1", api_key="sk-any", max_retries=0) as client:
        answer = await client.chat.completions.create(model=DEFAULT, messages=asks(prompt))
    assert answer.choices[0].message.content == f"You said: {prompt}"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_provider_that_fails_at_once_is_an_error_status(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str, *, streamed: bool
) -> None:
    provider.on(prompt, plan(Refuse(500, "Boom")))
    with pytest.raises(openai.InternalServerError) as failed:
        await client.chat.completions.create(model=DEFAULT, messages=asks(prompt), stream=streamed)
    assert failed.value.type == "server_error"
    assert "Boom" not in failed.value.message


async def test_a_provider_that_breaks_off_is_an_error_in_the_stream(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    provider.on(prompt, plan(Say("So far"), Break()))
    said: list[str] = []
    streaming = await client.chat.completions.create(model=DEFAULT, messages=asks(prompt), stream=True)
    with pytest.raises(openai.APIError):  # noqa: PT012  the loop is what fails, after its first rounds
        async for chunk in streaming:
            said.append(text_of([chunk]))
    assert "".join(said) == "So far"


async def test_a_provider_that_breaks_off_is_an_error_of_a_whole_answer(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    provider.on(prompt, plan(Say("So far"), Break()))
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(model=DEFAULT, messages=asks(prompt))


async def test_a_caller_who_hangs_up_stops_the_answer(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    provider.on(prompt, plan(Say("Well"), Hang()))
    streaming = await client.chat.completions.create(model=DEFAULT, messages=asks(prompt), stream=True)
    async for chunk in streaming:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    await streaming.close()
    [call] = provider.calls_for(prompt)
    await until(lambda: call.outcome == "abandoned", "the provider's connection is closed")


async def test_a_repeat_under_one_key_is_the_same_answer_and_another_body_a_conflict(
    client: openai.AsyncOpenAI, provider: ScriptedProvider, prompt: str
) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    answers = [
        await client.chat.completions.create(model=DEFAULT, messages=asks(prompt), extra_headers=headers)
        for _ in range(2)
    ]
    assert answers[0].choices == answers[1].choices
    assert answers[0].id == answers[1].id
    assert len(provider.calls_for(prompt)) == 1
    with pytest.raises(openai.ConflictError):
        await client.chat.completions.create(model=DEFAULT, messages=asks("Other"), extra_headers=headers)


async def test_a_call_is_saved_counted_and_traced(hopline: Hopline, prompt: str) -> None:
    hopline.provider.on(prompt, says("Saved, counted, traced"))
    key = hopline.add_person(prompt)
    page = PageTrace()
    async with openai.AsyncOpenAI(base_url=f"{hopline.url}/v1", api_key=key, max_retries=0) as client:
        answer = await client.chat.completions.create(
            model=DEFAULT, messages=asks(prompt), extra_headers={"sentry-trace": page.headers["sentry-trace"]}
        )
    assert answer.choices[0].message.content == "Saved, counted, traced"
    [call] = hopline.provider.calls_for(prompt)
    async with hopline.client(Authorization=f"Bearer {key}") as http:

        async def report() -> dict[str, Any] | None:
            found = (await http.get("/api/usage", params={"group_by": "conversation"})).json()
            return found if found["total"]["calls"] == 1 else None

        [row] = (await until(report, "the call is counted"))["rows"]
        assert row["prompt_tokens"] == call.prompt_tokens
        assert row["completion_tokens"] == call.completion_tokens
        saved = await Person(http, prompt).messages(row["conversation_id"])
        assert saved == [("user", prompt), ("assistant", "Saved, counted, traced")]

    edges = (
        Edge(At("gateway", "http.server", "/v1/chat/completions"), GATEWAY_FORWARDS),
        Edge(GATEWAY_FORWARDS, CHAT_ACCEPTS),
        *ANSWERING,
        *COUNTING,
    )
    await hopline.ingest.wait_for_trace(
        page.trace_id, lambda trace: missing_edges(trace, edges) == [], "every edge of a /v1 call"
    )
