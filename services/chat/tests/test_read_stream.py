"""What is made of a provider's bytes, hostile ones included."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest

from chat.errors import ProviderCut, ProviderError, ProviderFailed, ProviderGarbled, ProviderSilent
from chat.provider.stream import (
    AnsweringModel,
    ExtraDelta,
    Finished,
    ReportedUsage,
    StreamItem,
    TextDelta,
    read_stream,
)

DONE = b"data: [DONE]\n\n"
FINISH: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def line(chunk: object) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def delta(**fields: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


async def body(parts: Sequence[bytes], then: ProviderError | None) -> AsyncIterator[bytes]:
    """These bytes; `then` is what breaks the stream after them."""
    for part in parts:
        yield part
    if then is not None:
        raise then


async def read(*parts: bytes, then: ProviderError | None = None) -> list[StreamItem]:
    return [item async for item in read_stream(body(parts, then))]


async def read_until_it_breaks(
    *parts: bytes, then: ProviderError | None = None
) -> tuple[list[StreamItem], type[ProviderError]]:
    """What came, and the error."""
    items: list[StreamItem] = []
    try:
        async for item in read_stream(body(parts, then)):
            items.append(item)
    except ProviderError as error:
        return items, type(error)
    raise AssertionError(f"nothing broke: {items}")


async def test_a_plain_answer_is_its_model_its_texts_its_finish_and_its_usage() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14}
    items = await read(
        line({"model": "tiny-2026", **delta(role="assistant", content="")}),
        line({"model": "tiny-2026", **delta(content="Hello")}),
        line({"model": "tiny-2026", **delta(content=" there")}),
        line({"model": "tiny-2026", **FINISH}),
        line({"model": "tiny-2026", "choices": [], "usage": usage}),
        DONE,
    )
    assert items == [
        AnsweringModel("tiny-2026"),
        TextDelta("Hello"),
        TextDelta(" there"),
        Finished("stop"),
        ReportedUsage(input_tokens=12, output_tokens=2, cached_tokens=0, reasoning_tokens=0),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_it_does_not_matter_where_the_network_cuts_the_bytes(size: int) -> None:
    whole = line(delta(content="Gr\u00fc\u00dfe \U0001f600")) + line(FINISH) + DONE
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert await read(*parts) == [TextDelta("Gr\u00fc\u00dfe \U0001f600"), Finished("stop")]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
async def test_a_separator_of_unicode_in_a_text_ends_no_line(separator: str) -> None:
    raw = '{"choices":[{"delta":{"content":"a' + separator + 'b"}}]}'
    if separator < " ":  # JSON lets no control character stand for itself
        raw = raw.replace(separator, f"\\u{ord(separator):04x}")
    assert await read(b"data: " + raw.encode() + b"\n\n", line(FINISH)) == [
        TextDelta(f"a{separator}b"),
        Finished("stop"),
    ]


async def test_lines_that_end_with_cr_and_lf_comments_and_other_fields_are_read_over() -> None:
    items = await read(
        b": the provider is busy\r\n\r\nevent: message\r\nid: 7\r\nretry: 100\r\ndata:",
        orjson.dumps(delta(content="Hi")) + b"\r\n\r\n",
        b"data: " + orjson.dumps(FINISH) + b"\r\n\r\ndata: [DONE]\r\n\r\n",
    )
    assert items == [TextDelta("Hi"), Finished("stop")]


async def test_what_comes_after_done_is_not_read() -> None:
    assert await read(line(delta(content="Hi")), line(FINISH), DONE, b"data: {nonsense\n\n") == [
        TextDelta("Hi"),
        Finished("stop"),
    ]


async def test_done_without_a_finish_reason_ends_an_answer_that_has_begun() -> None:
    assert await read(line(delta(content="Hi")), DONE) == [TextDelta("Hi"), Finished("stop")]


async def test_a_finish_reason_without_done_ends_an_answer() -> None:
    length = {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "length"}]}
    assert await read(line(length)) == [TextDelta("Hi"), Finished("length")]


@pytest.mark.parametrize("error", [ProviderCut(), ProviderSilent()], ids=["cut", "silent"])
async def test_a_stream_that_breaks_after_the_finish_reason_has_lost_nothing(error: ProviderError) -> None:
    assert await read(line(delta(content="Hi")), line(FINISH), then=error) == [TextDelta("Hi"), Finished("stop")]


@pytest.mark.parametrize("error", [ProviderCut(), ProviderSilent()], ids=["cut", "silent"])
async def test_a_stream_that_breaks_before_says_so_after_its_texts(error: ProviderError) -> None:
    assert await read_until_it_breaks(line(delta(content="Hi")), then=error) == ([TextDelta("Hi")], type(error))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], []),
        ([b"\n\n"], []),
        ([b": still here\n\n"], []),
        ([DONE], []),
        ([line({"choices": []}), DONE], []),
        ([line(delta(role="assistant", content=""))], []),
        ([line(delta(content="Hi"))], [TextDelta("Hi")]),
        ([line(delta(content="Hi")), line(FINISH)[:-20]], None),
    ],
    ids=["nothing", "blank", "comment", "done alone", "no choice", "role alone", "no finish", "half a line"],
)
async def test_an_answer_that_ends_too_early_is_cut_or_garbled(
    parts: Sequence[bytes], said: list[StreamItem] | None
) -> None:
    items, error = await read_until_it_breaks(*parts)
    if said is None:
        assert (items, error) == ([TextDelta("Hi")], ProviderGarbled)
    else:
        assert (items, error) == (said, ProviderCut)


@pytest.mark.parametrize(
    "hostile",
    [
        b"data: {not json\n\n",
        b"data: \n\n",
        b"data: null\n\n",
        b"data: 7\n\n",
        b'data: "text"\n\n',
        b"data: [1, 2]\n\n",
        b"data: \xff\xfe\n\n",
        b'data: {"choices": "abc"}\n\n',
        b'data: {"choices": {"0": {}}}\n\n',
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [null]}\n\n',
        b'data: {"choices": ["text"]}\n\n',
        b'data: {"choices": [[]]}\n\n',
        b'data: {"choices": [{"delta": "text"}]}\n\n',
        b'data: {"choices": [{"delta": ["text"]}]}\n\n',
        b'data: {"choices": [{"delta": {"content": 7}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": ["part"]}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n',
        b'data: {"choices": [{"delta": {"deep": %b1%b}}]}\n\n' % (b"[" * 500, b"]" * 500),
        b"<html><body>502 Bad Gateway</body></html>\n",
        b'{"object": "chat.completion", "choices": [{"message": {"content": "whole"}}]}',
        b"x" * 8_000_001,
    ],
    ids=lambda value: f"{value[:60]!r}",
)
async def test_what_is_no_chunk_is_garbled(hostile: bytes) -> None:
    assert await read_until_it_breaks(hostile) == ([], ProviderGarbled)


async def test_an_error_object_in_the_stream_is_a_failure_after_its_texts() -> None:
    error = {"error": {"message": "overloaded", "code": 529}}
    assert await read_until_it_breaks(line(delta(content="So")), line(error)) == ([TextDelta("So")], ProviderFailed)


async def test_an_error_field_that_is_null_is_none() -> None:
    assert await read(line({"error": None, **delta(content="Hi")}), line(FINISH)) == [TextDelta("Hi"), Finished("stop")]


async def test_a_turn_has_one_answer_so_other_choices_are_left_out() -> None:
    second = {"choices": [{"index": 1, "delta": {"content": "Other"}, "finish_reason": None}]}
    ended = {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}
    both: dict[str, Any] = {
        "choices": [
            {"index": 1, "delta": {"content": "er"}, "finish_reason": "stop"},
            {"index": 0, "delta": {"content": " too"}, "finish_reason": "length"},
        ]
    }
    assert await read(line(delta(content="Mine")), line(second), line(ended), line(both)) == [
        TextDelta("Mine"),
        TextDelta(" too"),
        Finished("length"),
    ]


async def test_reasoning_tool_calls_refusals_and_logprobs_come_beside_the_text() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]}
    with_logprobs = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": logprobs}]}
    items = await read(
        line(delta(role="assistant", content=None, reasoning_content="Hm")),
        line(delta(tool_calls=[call])),
        line(delta(refusal="No")),
        line(with_logprobs),
        line({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
    )
    assert items == [
        ExtraDelta({"reasoning_content": "Hm"}, None),
        ExtraDelta({"tool_calls": [call]}, None),
        ExtraDelta({"refusal": "No"}, None),
        TextDelta("Hi"),
        ExtraDelta({}, logprobs),
        Finished("tool_calls"),
    ]


async def test_nul_characters_are_left_out_wherever_they_stand() -> None:
    items = await read(
        line({"model": "ti\x00ny", **delta(content="a\x00b")}),
        line(delta(content="\x00")),
        line(delta(reasoning_content="c\x00d", tool_calls=[{"na\x00me": ["e\x00"]}])),
        line({"choices": [{"delta": {}, "finish_reason": "st\x00op"}]}),
    )
    assert items == [
        AnsweringModel("tiny"),
        TextDelta("ab"),
        ExtraDelta({"reasoning_content": "cd", "tool_calls": [{"name": ["e"]}]}, None),
        Finished("stop"),
    ]


async def test_a_text_that_only_speaks_of_nul_is_kept() -> None:
    assert await read(line(delta(content=r"write \u0000")), line(FINISH)) == [
        TextDelta(r"write \u0000"),
        Finished("stop"),
    ]


async def test_the_names_a_provider_gives_are_cut_to_a_sane_length() -> None:
    items = await read(line({"model": "m" * 500, "choices": [{"delta": {}, "finish_reason": "f" * 500}]}))
    assert items == [AnsweringModel("m" * 200), Finished("f" * 200)]


async def usage_of(usage: object) -> list[StreamItem]:
    items = await read(line(delta(content="Hi")), line({**FINISH, "usage": usage}))
    assert items[:2] == [TextDelta("Hi"), Finished("stop")]
    return items[2:]


async def test_cached_and_reasoning_tokens_are_part_of_the_usage() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    assert await usage_of(usage) == [ReportedUsage(100, 50, 80, 30)]


async def test_details_that_are_null_count_as_none() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": None,
        "completion_tokens_details": {"reasoning_tokens": None},
    }
    assert await usage_of(usage) == [ReportedUsage(100, 50, 0, 0)]


async def test_details_never_exceed_what_they_are_part_of() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 99},
        "completion_tokens_details": {"reasoning_tokens": 99},
    }
    assert await usage_of(usage) == [ReportedUsage(10, 5, 10, 5)]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        7,
        "many",
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": "12", "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": 5},
        {"prompt_tokens": 1e30, "completion_tokens": 5},
        {"prompt_tokens": {"all": 12}, "completion_tokens": 5},
    ],
    ids=str,
)
async def test_a_usage_that_makes_no_sense_is_none_and_costs_nobody_the_answer(usage: object) -> None:
    assert await usage_of(usage) == []


async def test_a_usage_with_every_chunk_is_told_with_every_chunk() -> None:
    items = await read(
        line({**delta(content="Hi"), "usage": None}),
        line({**delta(content=" you"), "usage": {"prompt_tokens": 9, "completion_tokens": 2}}),
        line({**FINISH, "usage": {"prompt_tokens": 9, "completion_tokens": 3}}),
    )
    assert items == [
        TextDelta("Hi"),
        TextDelta(" you"),
        ReportedUsage(9, 2, 0, 0),
        Finished("stop"),
        ReportedUsage(9, 3, 0, 0),
    ]
