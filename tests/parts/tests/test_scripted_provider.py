import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import openai
import orjson
import pytest

from parts.plans import Break, CallTool, Garbage, Gate, Hang, Reason, Refuse, Say, Wait, plan, says, says_in_two_parts
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until

KEY = "sk-of-the-test"


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(models=["scripted"], api_key=KEY) as provider:
        yield provider


@pytest.fixture
async def client(provider: ScriptedProvider) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=provider.base_url, headers=headers, trust_env=False) as client:
        yield client


def request(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": prompt}], **fields}


def chunks_of(body: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in body.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [orjson.loads(line) for line in lines]


async def test_a_stream_is_role_then_deltas_then_finish_then_usage(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    provider.on("Greet me", says("Hello to you"))
    ask = request("Greet me", stream=True, stream_options={"include_usage": True})
    response = await client.post("/chat/completions", json=ask)
    *spoken, last = chunks_of(response.text)
    assert [c["choices"][0]["delta"] for c in spoken] == [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {"content": " to"},
        {"content": " you"},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in spoken] == [None, None, None, None, "stop"]
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (6, 3)


async def test_usage_is_left_out_of_a_stream_unless_asked_for(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    response = await client.post("/chat/completions", json=request("No usage please", stream=True))
    assert [c for c in chunks_of(response.text) if "usage" in c] == []


async def test_the_official_client_reads_a_whole_answer(provider: ScriptedProvider) -> None:
    provider.on("In one piece", plan(Say("All of it"), cached_tokens=2))
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key=KEY) as client:
        answer = await client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "In one piece"}]
        )
    assert answer.choices[0].message.content == "All of it"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 4 + 3 + 3
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 2


async def test_an_answer_waits_in_the_middle_until_its_gate_is_opened(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    gate = Gate()
    provider.on("Half now", says_in_two_parts("one two", gate, " three"))
    asking = asyncio.create_task(client.post("/chat/completions", json=request("Half now", stream=True)))
    await until(lambda: gate.arrivals == 1, "the provider is in the middle")
    [call] = provider.calls_for("Half now")
    assert (call.text, call.outcome, asking.done()) == ("one two", "open", False)
    gate.open()
    await asking
    assert (call.text, call.outcome, call.completion_tokens) == ("one two three", "complete", 3)


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_refusal_has_the_status_and_openais_shape(
    provider: ScriptedProvider, client: httpx.AsyncClient, status: int
) -> None:
    provider.on(f"Refuse {status}", plan(Refuse(status, "No.", code="because")))
    response = await client.post("/chat/completions", json=request(f"Refuse {status}", stream=True))
    assert response.status_code == status
    error = {"message": "No.", "type": "invalid_request_error", "param": None, "code": "because"}
    assert response.json() == {"error": error}


async def test_plans_for_a_prompt_are_taken_in_turn_and_the_last_stays(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    provider.on("Try twice", plan(Refuse(500)), says("Better now"))
    statuses = [(await client.post("/chat/completions", json=request("Try twice"))).status_code for _ in range(3)]
    assert statuses == [500, 200, 200]


async def test_a_broken_connection_ends_the_body_without_its_end(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    provider.on("Break off", plan(Say("So far"), Break()))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/chat/completions", json=request("Break off", stream=True))
    [call] = provider.calls_for("Break off")
    assert (call.text, call.outcome) == ("So far", "broken")


async def test_a_caller_who_hangs_up_is_noticed(provider: ScriptedProvider, client: httpx.AsyncClient) -> None:
    provider.on("Never end", plan(Say("Well"), Hang()))
    async with client.stream("POST", "/chat/completions", json=request("Never end", stream=True)):
        [call] = provider.calls_for("Never end")
        await until(lambda: call.text == "Well", "the first token")
    await until(lambda: call.outcome == "abandoned", "the provider sees that the caller is gone")


async def test_garbage_tool_calls_and_reasoning_are_streamed_as_told(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    steps = (Reason("Let me think"), Garbage("data: {not json"), CallTool("call_1", "weather", '{"city":"Oslo"}'))
    provider.on("All sorts", plan(*steps))
    response = await client.post("/chat/completions", json=request("All sorts", stream=True))
    assert "data: {not json\n\n" in response.text
    chunks = chunks_of(response.text.replace("data: {not json\n\n", ""))
    deltas = [c["choices"][0]["delta"] for c in chunks]
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "Let me think"
    calls = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
    assert "".join(c["function"]["arguments"] for c in calls) == '{"city":"Oslo"}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    [call] = provider.calls_for("All sorts")
    assert (call.completion_tokens, call.reasoning_tokens) == (4, 3)


async def test_an_error_in_mid_stream_is_an_error_chunk(provider: ScriptedProvider, client: httpx.AsyncClient) -> None:
    provider.on("Fail late", plan(Say("First"), Refuse(500, "Overloaded")))
    response = await client.post("/chat/completions", json=request("Fail late", stream=True))
    last = [line for line in response.text.split("\n") if line][-1]
    assert orjson.loads(last.removeprefix("data: "))["error"]["message"] == "Overloaded"


async def test_a_wrong_key_and_an_unknown_model_are_refused(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    wrong = await client.get("/models", headers={"Authorization": "Bearer sk-wrong"})
    unknown = await client.post("/chat/completions", json={**request("Hi"), "model": "none"})
    assert (wrong.status_code, unknown.status_code) == (401, 404)


async def test_the_log_holds_headers_and_body_of_every_request(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    ask = request("Log me", temperature=0.5)
    await client.post("/chat/completions", json=ask, headers={"X-Seen": "yes"})
    [call] = provider.calls_for("Log me")
    assert (call.body, call.headers["x-seen"], call.path) == (ask, "yes", "/v1/chat/completions")


async def test_an_answer_ends_at_the_limit_of_tokens_asked_for(
    provider: ScriptedProvider, client: httpx.AsyncClient
) -> None:
    provider.on("Be short", says("one two three four"))
    response = await client.post("/chat/completions", json=request("Be short", max_tokens=2))
    [choice] = response.json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")


async def test_the_port_stays_the_same_over_a_stop(client: httpx.AsyncClient) -> None:
    gate = Gate()
    with ScriptedProvider(models=["scripted"]) as provider:
        provider.on("Wait", plan(Wait(gate)))
        url = provider.base_url
        assert (await client.get(f"{url}/models")).status_code == 200
        provider.stop()
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/models")
        provider.start()
        assert (provider.base_url, (await client.get(f"{url}/models")).status_code) == (url, 200)
