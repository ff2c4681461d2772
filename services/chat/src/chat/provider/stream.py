"""Reads a provider's stream: raw bytes in, the few things that a turn needs out.

The SDK's typed chunks cost ten times the CPU of a JSON decode, so lines are read raw. They end with LF alone: JSON may
hold the separators of Unicode, at which `str.splitlines` and the client's `iter_lines` would cut a chunk in two.

Nothing that comes is trusted: what is no chunk ends the answer, figures that make no sense count as not reported, and
NUL characters, which PostgreSQL can't keep, are left out wherever they stand.
"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from chat.errors import ProviderCut, ProviderFailed, ProviderGarbled, ProviderSilent

DONE = b"[DONE]"
SSE_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
DEFAULT_REASON = "stop"
MAX_LINE_BYTES = 8_000_000
MAX_DEPTH = 250
"""What of a chunk is kept must be written as JSON again, and orjson writes no deeper than 254."""
MAX_TOKENS = 2**31 - 1
MAX_NAME_CHARS = 200


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


@dataclass(slots=True)
class _Seen:
    """What has come of an answer so far."""

    named: bool = False
    answered: bool = False
    finished: bool = False
    done: bool = False
    anything: bool = False
    strange: bool = False
    """A line that belongs to no event stream."""


async def read_stream(parts: AsyncIterable[bytes]) -> AsyncIterator[StreamItem]:
    """The items of one streamed answer, in the order in which they came.

    `parts` raises ProviderCut or ProviderSilent when it breaks; after a finish reason that loses nothing.

    Raises:
        ProviderFailed: the stream carries an error object.
        ProviderGarbled: it is no stream of chunks.
        ProviderCut: it ended before the answer did: without a finish reason and without `[DONE]`.
    """
    seen = _Seen()
    try:
        async for line in _lines(parts):
            for item in _read_line(line, seen):
                yield item
            if seen.done:
                break
    except (ProviderCut, ProviderSilent):
        if not seen.finished:
            raise
    if seen.finished:
        return
    if seen.strange and not seen.anything:
        raise ProviderGarbled
    if not (seen.done and seen.answered):
        raise ProviderCut
    yield Finished(DEFAULT_REASON)


async def _lines(parts: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > MAX_LINE_BYTES:
            raise ProviderGarbled
    if rest:
        yield rest


def _read_line(line: bytes, seen: _Seen) -> list[StreamItem]:
    if not line.startswith(b"data:"):
        seen.strange = seen.strange or not (line.startswith(SSE_FIELDS) or line.isspace() or not line)
        return []
    data = line[5:].strip()
    if data == DONE:
        seen.done = True
        return []
    chunk = _parse(data)
    items: list[StreamItem] = []
    seen.anything = True
    if not seen.named and isinstance(chunk.get("model"), str):
        seen.named = True
        items.append(AnsweringModel(chunk["model"][:MAX_NAME_CHARS]))
    items.extend(_items(chunk))
    for item in items:
        seen.answered = seen.answered or isinstance(item, TextDelta | ExtraDelta)
        seen.finished = seen.finished or isinstance(item, Finished)
    return items


def _parse(data: bytes) -> dict[str, Any]:
    try:
        chunk = orjson.loads(data)
        if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
            orjson.dumps(chunk)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise ProviderGarbled from error
    if not isinstance(chunk, dict):
        raise ProviderGarbled
    if chunk.get("error"):
        raise ProviderFailed("the provider's stream carries an error")
    return _without_nul(chunk) if b"\\u0000" in data else chunk


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\x00", "")
        case list():
            return [_without_nul(one) for one in value]
        case dict():
            return {_without_nul(name): _without_nul(one) for name, one in value.items()}
        case _:
            return value


def _items(chunk: dict[str, Any]) -> list[StreamItem]:
    items: list[StreamItem] = []
    choices = chunk.get("choices") or []
    if not isinstance(choices, list):
        raise ProviderGarbled
    try:
        for choice in choices:
            if not choice.get("index"):  # a turn has one answer: the first
                items.extend(_choice_items(choice))
    except (AttributeError, TypeError) as error:
        raise ProviderGarbled from error
    usage = _usage(chunk.get("usage"))
    return items if usage is None else [*items, usage]


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
        items.append(Finished(str(reason)[:MAX_NAME_CHARS]))
    return items


def _usage(usage: Any) -> ReportedUsage | None:
    """`None` for what can't be: an answer is not worth less for a wrong figure beside it."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if prompt is None or completion is None or not (prompt or completion):
        return None
    cached = _count(usage.get("prompt_tokens_details"), "cached_tokens")
    reasoning = _count(usage.get("completion_tokens_details"), "reasoning_tokens")
    return ReportedUsage(prompt, completion, min(cached or 0, prompt), min(reasoning or 0, completion))


def _count(figures: Any, name: str) -> int | None:
    value = figures.get(name) if isinstance(figures, dict) else None
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TOKENS:
        return None
    return int(value)
