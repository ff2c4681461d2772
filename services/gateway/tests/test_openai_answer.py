"""Answers in OpenAI's shapes, read back by the official client's own models."""

from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.openai_answer import ChunkFrames, completion, finish_reason_of, merged_chunks, models_of
from wire.contracts.chat import Model as KnownModel
from wire.contracts.chat import ModelList

from .turns import NOON, USAGE, turn


def test_a_whole_answer() -> None:
    ended = turn("complete", "Hello", usage=USAGE)
    answer = ChatCompletion.model_validate(completion(ended), strict=True)
    assert answer.id == f"chatcmpl-{ended.id}"
    assert answer.created == int(NOON.timestamp())
    assert answer.choices[0].message.content == "Hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 5, 8)


def test_an_answer_of_tool_calls_has_no_content() -> None:
    chunks = [
        {"delta": {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f"}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}},
        {"delta": {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g"}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}},
    ]
    message = completion(turn("complete", "", chunks=chunks, finish_reason="tool_calls"))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "function", "function": {"name": "g"}},
    ]


def test_reasoning_and_logprobs_are_put_together() -> None:
    chunks = [
        {"delta": {"reasoning_content": "Hm"}, "logprobs": {"content": [{"token": "a"}]}},
        {"delta": {"reasoning_content": "m."}, "logprobs": {"content": [{"token": "b"}]}},
        {"delta": {}, "logprobs": None},
    ]
    assert merged_chunks(chunks) == ({"reasoning_content": "Hmm."}, {"content": [{"token": "a"}, {"token": "b"}]})


def test_an_empty_answer_has_empty_content() -> None:
    assert completion(turn("complete", ""))["choices"][0]["message"]["content"] == ""


def test_a_stopped_answer_ends_with_a_reason_that_clients_know() -> None:
    assert [finish_reason_of(reason) for reason in ("length", "stopped", None)] == ["length", "stop", "stop"]


def test_chunks_are_what_the_official_client_reads() -> None:
    frames = ChunkFrames(turn(), with_usage=True)
    words = frames.delta({"content": "Hel"})
    assert words.startswith(b"data: {")
    assert words.endswith(b"}\n\n")
    chunk = ChatCompletionChunk.model_validate_json(words.removeprefix(b"data: "), strict=True)
    assert (chunk.choices[0].delta.content, chunk.usage) == ("Hel", None)
    last = ChatCompletionChunk.model_validate_json(frames.usage(USAGE).removeprefix(b"data: "), strict=True)
    assert (last.choices, last.usage and last.usage.total_tokens) == ([], 8)


def test_models_are_what_the_official_client_reads() -> None:
    [model] = models_of(ModelList(default=None, models=[KnownModel(id="org/beta", provider="scripted")]))
    assert Model.model_validate(model, strict=True).owned_by == "scripted"
