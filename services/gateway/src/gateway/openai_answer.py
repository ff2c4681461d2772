"""Answers below `/v1` in OpenAI's shapes: a whole completion, the chunks of a stream, the list of models. Pure.

See: https://platform.openai.com/docs/api-reference/chat/object
"""

from collections.abc import Mapping, Sequence
from typing import Any

from wire.contracts.chat import ModelList, Turn, TurnUsage
from wire.turn_events import encode

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
DONE = b"data: [DONE]\n\n"


def finish_reason_of(reason: str | None) -> str:
    """A reason that OpenAI's clients know; a turn that a person stopped has ended like any other."""
    return reason if reason in FINISH_REASONS else "stop"


def usage_of(usage: TurnUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def completion(turn: Turn) -> dict[str, Any]:
    """A turn that has ended well, as a `chat.completion`."""
    message, logprobs = merged_chunks(turn.chunks)
    message = {"role": "assistant", "content": turn.text or None, "refusal": None, **message}
    if message["content"] is None and "tool_calls" not in message:
        message["content"] = ""
    body: dict[str, Any] = {
        **_head(turn, "chat.completion"),
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": logprobs,
                "finish_reason": finish_reason_of(turn.finish_reason),
            }
        ],
    }
    if turn.usage is not None:
        body["usage"] = usage_of(turn.usage)
    return body


class ChunkFrames:
    """The frames of one streamed answer. With `with_usage` every chunk has `usage`, null in all but the last."""

    def __init__(self, turn: Turn, *, with_usage: bool) -> None:
        self._head = _head(turn, "chat.completion.chunk")
        self._null_usage: dict[str, Any] = {"usage": None} if with_usage else {}

    def delta(self, delta: Mapping[str, Any], *, logprobs: Any = None, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return _frame({**self._head, "choices": [choice], **self._null_usage})

    def usage(self, usage: TurnUsage) -> bytes:
        return _frame({**self._head, "choices": [], "usage": usage_of(usage)})


def error_frame(body: Mapping[str, Any]) -> bytes:
    return _frame(body)


def models_of(models: ModelList) -> list[dict[str, Any]]:
    return [{"id": model.id, "object": "model", "created": 0, "owned_by": model.provider} for model in models.models]


def merged_chunks(chunks: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What a provider streamed beside plain text, put together: fields of the message, and the logprobs."""
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    logprobs: dict[str, Any] = {}
    for chunk in chunks:
        for name, value in (chunk.get("delta") or {}).items():
            if name == "tool_calls":
                for call in value or ():
                    _merge(calls.setdefault(int(call.get("index", 0)), {}), call)
            elif name not in ("role", "content"):
                _merge(message, {name: value})
        for name, value in (chunk.get("logprobs") or {}).items():
            if isinstance(value, list):
                logprobs.setdefault(name, []).extend(value)
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message, logprobs or None


def _merge(into: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Texts are appended, objects merged; ids, types and names come once and stand."""
    for name, value in delta.items():
        if name == "index" or value is None:
            continue
        before = into.get(name)
        if isinstance(value, dict):
            merged: dict[str, Any] = before if isinstance(before, dict) else {}
            _merge(merged, value)
            into[name] = merged
        elif isinstance(value, str) and isinstance(before, str) and name not in ("id", "type"):
            into[name] = before + value
        elif isinstance(value, list) and isinstance(before, list):
            into[name] = [*before, *value]
        else:
            into[name] = value


def _head(turn: Turn, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{turn.id}",
        "object": kind,
        "created": int(turn.created_at.timestamp()),
        "model": turn.model,
    }


def _frame(body: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % encode(body)
