"""What a function or a block takes: a span in the trace where there is one, a count and a sum of seconds always.

    @profile(tags={"operation": "model_switch", "phase": "start"})
    async def track_model_switch(...): ...

    with profiling_span("DB Insert Model Transition"):
        ...

| what | the trace is kept | it is not, or there is none |
|---|---|---|
| a span `function`, or `function.block`: name, tags and `call_count` as data | yes | none is made |
| `timings()`: calls and seconds by name, since this process began | yes | yes, for about a microsecond a call |

A span's `call_count` is the number of calls under its name that had ended in this process when it did, itself included.

The span of an async generator lasts from the first item that is asked for until it is exhausted or closed. It is the
current one while the generator runs and never while its consumer does. Items come out of it, nothing goes in: what is
sent or thrown into it does not reach the function, which is closed then.

This is no sampling profiler. That is `SENTRY_PROFILES_SAMPLE_RATE`, which shows the lines below these spans.
"""

import asyncio
import functools
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar, cast

import sentry_sdk
from sentry_sdk.scope import use_scope

from wire.telemetry.spans import set_span_data

FUNCTION, BLOCK = "function", "function.block"
CUT_SHORT = (asyncio.CancelledError, GeneratorExit)

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

_END = object()
_NO_SCOPE: AbstractContextManager[None] = nullcontext()


class Timing(NamedTuple):
    """Of the calls under one name that have ended."""

    calls: int
    seconds: float


class _Clock:
    """The running totals of one name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._seconds = 0.0

    def add(self, seconds: float) -> int:
        """The number of calls, this one included."""
        with self._lock:
            self._calls += 1
            self._seconds += seconds
            return self._calls

    def read(self) -> Timing:
        with self._lock:
            return Timing(self._calls, self._seconds)


_clocks: dict[str, _Clock] = {}


def timings() -> dict[str, Timing]:
    """By name, of all that can be measured in this process; zero calls where nothing was yet."""
    return {name: clock.read() for name, clock in sorted(_clocks.items())}


def profile(*, tags: Mapping[str, str] | None = None) -> Callable[[Callable[P, ResultT]], Callable[P, ResultT]]:
    """A decorator for functions, coroutine functions and async generator functions: each call is measured by its name.

    Raises:
        TypeError: the function is a plain generator, whose calls take no time.
    """

    def decorate(function: Callable[P, ResultT]) -> Callable[P, ResultT]:
        name = function.__name__
        data = {"code.function.name": f"{function.__module__}.{function.__qualname__}", **(tags or {})}
        start = functools.partial(_Measured, _clock_of(name), FUNCTION, name, data)
        if inspect.isgeneratorfunction(function):
            raise TypeError(f"{name} is a generator: measure what it does with profiling_span.")
        if inspect.isasyncgenfunction(function):
            return cast(Callable[P, ResultT], _measured_generator(function, start))
        if inspect.iscoroutinefunction(function):
            return cast(Callable[P, ResultT], _measured_coroutine(function, start))
        return _measured_function(function, start)

    return decorate


@contextmanager
def profiling_span(name: str, **tags: str) -> Generator[None]:
    """The block is measured under `name`: one of few, as it stays in memory, and nothing that a person wrote."""
    with _Measured(_clock_of(name), BLOCK, name, tags) as measured, measured.running():
        yield


class _Measured:
    """One call under way, from its making to the end of the `with` block. `running` is what makes it the current one.

    Its scope is a fork of the caller's: siblings that run at the same time don't see one another's spans.
    """

    __slots__ = ("_clock", "_data", "_scope", "_span", "_start")

    def __init__(self, clock: _Clock, op: str, name: str, data: Mapping[str, str]) -> None:
        self._clock = clock
        self._data = data
        active = sentry_sdk.get_current_span()
        if active is None or not active.sampled:
            self._span = self._scope = None
        else:
            self._span = sentry_sdk.start_span(op=op, name=name)
            self._scope = sentry_sdk.get_current_scope().fork()
            self._scope.span = self._span
        self._start = time.perf_counter()

    def running(self) -> AbstractContextManager[object]:
        return _NO_SCOPE if self._scope is None else use_scope(self._scope)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        calls = self._clock.add(time.perf_counter() - self._start)
        if self._span is None:
            return
        if kind is not None:
            self._span.set_status("cancelled" if issubclass(kind, CUT_SHORT) else "internal_error")
        set_span_data(self._span, {**self._data, "call_count": calls})
        self._span.finish(self._scope)


_Start = Callable[[], _Measured]


def _clock_of(name: str) -> _Clock:
    clock = _clocks.get(name)
    return clock if clock is not None else _clocks.setdefault(name, _Clock())


def _measured_function(function: Callable[P, ResultT], start: _Start) -> Callable[P, ResultT]:
    @functools.wraps(function)
    def measured_call(*args: P.args, **kwargs: P.kwargs) -> ResultT:
        with start() as measured, measured.running():
            return function(*args, **kwargs)

    return measured_call


def _measured_coroutine(function: Callable[P, Awaitable[ResultT]], start: _Start) -> Callable[P, Awaitable[ResultT]]:
    @functools.wraps(function)
    async def measured_call(*args: P.args, **kwargs: P.kwargs) -> ResultT:
        with start() as measured, measured.running():
            return await function(*args, **kwargs)

    return measured_call


def _measured_generator(function: Callable[P, AsyncGenerator[Any]], start: _Start) -> Callable[P, AsyncGenerator[Any]]:
    @functools.wraps(function)
    async def measured_items(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any]:
        with start() as measured:
            items = function(*args, **kwargs)
            try:
                while True:
                    with measured.running():
                        item = await anext(items, _END)
                    if item is _END:
                        return
                    yield item
            finally:
                with measured.running():
                    await items.aclose()

    return measured_items
