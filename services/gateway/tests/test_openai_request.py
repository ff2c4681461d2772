"""Which `/v1/chat/completions` bodies are taken, and what of them goes on to the provider."""

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from gateway.openai_errors import invalid_request, openai_error
from gateway.openai_request import ChatCompletionRequest

HELLO = [{"role": "user", "content": "Hello"}]


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "alpha", "messages": HELLO} | fields


def objection(raw: Any) -> dict[str, Any]:
    """OpenAI's error object for a body that is refused."""
    with pytest.raises(ValidationError) as refused:
        ChatCompletionRequest.model_validate(raw)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in refused.value.errors()]
    return openai_error(invalid_request(RequestValidationError(errors)))["error"]


def test_parameters_go_on_as_they_were_sent() -> None:
    sent = body(temperature=0.25, stop=["END"], seed=7, tools=[{"type": "function", "function": {"name": "f"}}])
    request = ChatCompletionRequest.model_validate(sent).for_provider()
    assert request.messages == HELLO
    assert request.parameters == {name: sent[name] for name in ("temperature", "stop", "seed", "tools")}


def test_what_is_answered_here_does_not_go_on() -> None:
    request = ChatCompletionRequest.model_validate(
        body(stream=True, stream_options={"include_usage": True}, n=1, store=False, metadata={"a": "b"}, user=None)
    )
    assert request.for_provider().parameters == {}
    assert request.includes_usage


def test_an_answer_with_tool_calls_goes_back_as_it_came() -> None:
    history = [
        *HELLO,
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "-4 °C"},
    ]
    assert ChatCompletionRequest.model_validate(body(messages=history)).for_provider().messages == history


def test_the_persons_message_is_the_text_of_the_last_one_that_is_theirs() -> None:
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "text", "text": "here"},
    ]
    messages = [*HELLO, {"role": "user", "content": parts}, {"role": "assistant", "content": "I"}]
    assert ChatCompletionRequest.model_validate(body(messages=messages)).text == "Look\nhere"


def test_without_a_message_of_theirs_the_text_is_empty() -> None:
    assert ChatCompletionRequest.model_validate(body(messages=[{"role": "system", "content": "Be."}])).text == ""


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"frobnicate": 1}, "frobnicate", "unknown_parameter"),
        ({"messages": [{"role": "user", "content": "x", "mood": 1}]}, "messages[0].mood", "unknown_parameter"),
        ({"stream_options": {"x": 1}}, "stream_options.x", "unknown_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "Hello"}, "messages", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0]", "invalid_value"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content", "invalid_value"),
        ({"messages": [{"role": "user", "content": "a\x00b"}]}, "messages", "invalid_value"),
        ({"temperature": "warm"}, "temperature", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"n": 2}, "n", "invalid_value"),
        ({"store": True}, "store", "invalid_value"),
        ({"model": ""}, "model", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"tools": [{"type": "magic"}]}, "tools[0].type", "invalid_value"),
    ],
    ids=lambda value: f"{value!r:.50}",
)
def test_what_can_not_be_taken_is_refused_by_its_name(fields: dict[str, Any], param: str, code: str) -> None:
    error = objection(body(**fields))
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")
    assert f"'{param}'" in error["message"]


def test_a_missing_model_is_named() -> None:
    assert objection({"messages": HELLO})["message"] == "Missing required parameter: 'model'."


def test_a_body_that_is_no_object_is_refused() -> None:
    assert objection([])["param"] is None
