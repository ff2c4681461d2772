"""Reads a provider's stream: raw lines in, the few things that a turn needs out.

The SDK's typed chunks cost ten times the CPU of a JSON decode, so lines are read raw. Choices other than the first are
ignored: a turn has one answer.
"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from chat.errors import ProviderCut, ProviderFailed, ProviderGarbled

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ExtraDelta:
    """Whatever else a chunk carries: tool calls, reasoning, a refusal, logprobs."""

    delta: dict[str, Any]
    logprobs: Any


@dataclass(frozen=True, slots=True)
class Finished:
    reason: str


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class AnsweringModel:
    """The name that the provider gives to the model that answers; the first chunk tells it."""

    name: str


StreamItem = TextDelta | ExtraDelta | Finished | ReportedUsage | AnsweringModel


async def read_stream(lines: AsyncIterable[str]) -> AsyncIterator[StreamItem]:
    """The items of one streamed answer, in the order in which they came.

    Raises:
        ProviderFailed: the stream carries an error object.
        ProviderGarbled: a line is no chunk.
        ProviderCut: the stream ended before a finish reason came.
    """
    finished = False
    named = False
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == DONE:
            break
        chunk = _parse(data)
        if not named and isinstance(chunk.get("model"), str):
            named = True
            yield AnsweringModel(chunk["model"])
        for item in _items(chunk):
            finished = finished or isinstance(item, Finished)
            yield item
    if not finished:
        raise ProviderCut


def _parse(data: str) -> dict[str, Any]:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProviderGarbled from error
    if not isinstance(chunk, dict):
        raise ProviderGarbled
    if chunk.get("error"):
        raise ProviderFailed("the provider's stream carries an error")
    return chunk


def _items(chunk: dict[str, Any]) -> list[StreamItem]:
    items: list[StreamItem] = []
    choices = chunk.get("choices") or []
    try:
        if choices:
            items.extend(_choice_items(choices[0]))
        if chunk.get("usage"):
            items.append(_usage(chunk["usage"]))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ProviderGarbled from error
    return items


def _choice_items(choice: dict[str, Any]) -> list[StreamItem]:
    items: list[StreamItem] = []
    delta: dict[str, Any] = choice.get("delta") or {}
    text = delta.get("content")
    if text:
        if not isinstance(text, str):
            raise ProviderGarbled
        items.append(TextDelta(text))
    extra = {name: value for name, value in delta.items() if name not in ("role", "content") and value}
    logprobs = choice.get("logprobs")
    if extra or logprobs:
        items.append(ExtraDelta(extra, logprobs))
    reason = choice.get("finish_reason")
    if reason:
        items.append(Finished(str(reason)))
    return items


def _usage(usage: dict[str, Any]) -> ReportedUsage:
    prompt_details = usage.get("prompt_tokens_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    return ReportedUsage(
        input_tokens=int(usage.get("prompt_tokens") or 0),
        output_tokens=int(usage.get("completion_tokens") or 0),
        cached_tokens=int(prompt_details.get("cached_tokens") or 0),
        reasoning_tokens=int(completion_details.get("reasoning_tokens") or 0),
    )
