"""What `@profile` and `profiling_span` leave behind: spans where a trace is kept, counts everywhere, nothing else."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.tracing import Span

from parts.recording_ingest import RecordingIngest
from parts.traces import SpanRecord
from wire.telemetry.profiling import profile, profiling_span, timings
from wire.telemetry.spans import background_transaction, current_trace_id, span

StartTelemetry = Callable[..., None]


@profile(tags={"operation": "model_switch", "phase": "start"})
def add(a: int, b: int = 0) -> int:
    """Adds."""
    return a + b


@profile()
async def add_later(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


@profile()
async def count_to(last: int) -> AsyncGenerator[int]:
    for number in range(1, last + 1):
        with span("inside", f"item {number}"):
            await asyncio.sleep(0)
        yield number


@profile()
async def fail_after_one() -> AsyncGenerator[int]:
    yield 1
    raise LookupError


@profile()
def fail() -> None:
    raise LookupError


@profile()
async def hang(entered: asyncio.Event) -> None:
    entered.set()
    await asyncio.Event().wait()


def calls_of(name: str) -> int:
    timing = timings().get(name)
    return 0 if timing is None else timing.calls


class Kept:
    """A trace that is kept, and its spans once it is over."""

    def __init__(self, ingest: RecordingIngest) -> None:
        self._ingest = ingest
        self._transaction = background_transaction("work")
        self._trace_id = ""

    def __enter__(self) -> "Kept":
        self._transaction.__enter__()
        self._trace_id = current_trace_id() or ""
        return self

    def __exit__(self, *error: Any) -> None:
        self._transaction.__exit__(*error)
        sentry_sdk.get_client().flush(timeout=5)

    def spans(self, op: str, name: str | None = None) -> list[SpanRecord]:
        return self._ingest.trace(self._trace_id).find("chat", op, name)

    def span(self, op: str, name: str) -> SpanRecord:
        [found] = self.spans(op, name)
        return found

    def name_above(self, below: SpanRecord) -> str:
        above = self._ingest.trace(self._trace_id).parent_of(below)
        assert above is not None
        return above.name


@pytest.fixture
def kept(telemetry: StartTelemetry, ingest: RecordingIngest) -> Kept:
    telemetry("chat")
    return Kept(ingest)


def test_a_call_of_a_function_is_a_span_with_its_name_tags_and_count(kept: Kept) -> None:
    before = calls_of("add")

    with kept:
        assert (add(1, b=2), add(3)) == (3, 3)

    first, second = kept.spans("function", "add")
    assert first.data == {
        "code.function.name": f"{__name__}.add",
        "operation": "model_switch",
        "phase": "start",
        "call_count": before + 1,
        "thread.id": first.data["thread.id"],
        "thread.name": "MainThread",
    }
    assert second.data["call_count"] == calls_of("add") == before + 2


def test_a_decorated_function_keeps_its_name_words_and_kind() -> None:
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert inspect.iscoroutinefunction(add_later)


async def test_a_call_of_a_coroutine_function_is_a_span_around_what_it_does(kept: Kept) -> None:
    with kept:
        assert await add_later(1, 2) == 3
        with profiling_span("outer block"):
            await add_later(1, 2)

    first, second = kept.spans("function", "add_later")
    assert (kept.name_above(first), kept.name_above(second)) == ("work", "outer block")


def test_a_block_is_a_span_with_its_tags(kept: Kept) -> None:
    before = calls_of("DB Insert Model Transition")

    with kept, profiling_span("DB Insert Model Transition", table="model_switches"):
        pass

    block = kept.span("function.block", "DB Insert Model Transition")
    assert (block.data["table"], block.data["call_count"]) == ("model_switches", before + 1)


async def test_the_span_of_an_async_generator_is_around_its_own_work_and_not_its_consumers(kept: Kept) -> None:
    with kept:
        async for number in count_to(2):
            with span("outside", f"use of {number}"):
                await asyncio.sleep(0)
        with span("after", "the loop"):
            pass

    names = {op: [kept.name_above(found) for found in kept.spans(op)] for op in ("inside", "outside", "after")}
    assert names == {"inside": ["count_to", "count_to"], "outside": ["work", "work"], "after": ["work"]}
    assert kept.name_above(kept.span("function", "count_to")) == "work"


async def test_an_async_generator_that_is_closed_early_has_its_span_marked(kept: Kept) -> None:
    with kept:
        async with aclosing(count_to(5)) as numbers:
            assert await anext(numbers) == 1

    assert kept.span("function", "count_to").status == "cancelled"


async def test_an_async_generator_that_is_never_begun_leaves_no_span(kept: Kept) -> None:
    before = calls_of("count_to")

    with kept:
        await count_to(5).aclose()

    assert (kept.spans("function"), calls_of("count_to")) == ([], before)


async def test_closing_reaches_the_function_itself(kept: Kept) -> None:
    ended: list[str] = []

    @profile()
    async def with_an_end() -> AsyncGenerator[int]:
        try:
            yield 1
            yield 2
        finally:
            with span("inside", "the end"):
                ended.append("here")

    with kept:
        numbers = with_an_end()
        await anext(numbers)
        await numbers.aclose()

    assert ended == ["here"]
    assert kept.name_above(kept.span("inside", "the end")) == "with_an_end"


async def test_two_async_generators_at_once_do_not_mix(kept: Kept) -> None:
    async def drain() -> list[int]:
        return [number async for number in count_to(3)]

    with kept:
        assert await asyncio.gather(drain(), drain()) == [[1, 2, 3], [1, 2, 3]]
        with span("after", "both"):
            pass

    assert {kept.name_above(found) for found in kept.spans("inside")} == {"count_to"}
    parents = [found.parent_id for found in kept.spans("inside")]
    assert sorted(parents.count(generator.span_id) for generator in kept.spans("function")) == [3, 3]
    assert kept.name_above(kept.span("after", "both")) == "work"


async def test_siblings_that_overlap_stand_beside_one_another(kept: Kept) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    @profile()
    async def ends_last() -> None:
        entered.set()
        await may_end.wait()

    @profile()
    async def ends_first() -> None:
        await entered.wait()

    with kept:
        last = asyncio.create_task(ends_last())
        await ends_first()
        may_end.set()
        await last
        with span("after", "both"):
            pass

    spans = [*kept.spans("function"), *kept.spans("after")]
    assert [kept.name_above(found) for found in spans] == ["work", "work", "work"]


async def test_how_a_call_ended_is_in_its_span(kept: Kept) -> None:
    with kept:
        with pytest.raises(LookupError):
            fail()
        with pytest.raises(LookupError):
            [number async for number in fail_after_one()]
        entered = asyncio.Event()
        task = asyncio.create_task(hang(entered))
        await entered.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    statuses = {found.name: found.status for found in kept.spans("function")}
    assert statuses == {"fail": "internal_error", "fail_after_one": "internal_error", "hang": "cancelled"}


async def measure_each_kind() -> None:
    add(1)
    await add_later(1, 2)
    assert [number async for number in quiet_items()] == [1, 2]
    with profiling_span("a block"):
        pass


@profile()
async def quiet_items() -> AsyncGenerator[int]:
    yield 1
    yield 2


@pytest.fixture
def made_spans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The op of every span that is made: the class itself is asked, as there is no seam for what is not made."""
    made: list[str] = []
    make = Span.__init__

    def noting(self: Span, *args: Any, **kwargs: Any) -> None:
        made.append(str(kwargs.get("op")))
        make(self, *args, **kwargs)

    monkeypatch.setattr(Span, "__init__", noting)
    return made


KINDS = ("add", "add_later", "quiet_items", "a block")


async def test_where_the_trace_is_kept_each_kind_makes_a_span(kept: Kept, made_spans: list[str]) -> None:
    with kept:
        await measure_each_kind()
    assert made_spans[:5] == ["task", "function", "function", "function", "function.block"]  # then comes the sending


async def test_where_the_trace_is_not_kept_no_span_is_made_and_calls_are_counted(
    telemetry: StartTelemetry, made_spans: list[str]
) -> None:
    telemetry("chat", sentry_traces_sample_rate=0.0)
    before = [calls_of(name) for name in KINDS]

    with background_transaction("work"):
        await measure_each_kind()

    assert made_spans == ["task"]
    assert [calls_of(name) for name in KINDS] == [count + 1 for count in before]


async def test_where_there_is_no_trace_no_span_is_made(telemetry: StartTelemetry, made_spans: list[str]) -> None:
    telemetry("chat")
    await measure_each_kind()
    assert made_spans == []


async def test_without_sentry_everything_works_and_no_span_is_made(made_spans: list[str]) -> None:
    await measure_each_kind()
    assert made_spans == []


def test_seconds_add_up() -> None:
    before = timings()["add"]
    add(1)
    after = timings()["add"]
    assert after.calls == before.calls + 1
    assert after.seconds > before.seconds


def test_a_name_that_was_never_called_has_no_calls() -> None:
    @profile()
    def never_called() -> None: ...

    assert timings()[never_called.__name__] == (0, 0.0)


def test_a_plain_generator_is_refused_by_name() -> None:
    def numbers() -> Generator[int]:
        yield 1

    with pytest.raises(TypeError, match="numbers is a generator"):
        profile()(numbers)
