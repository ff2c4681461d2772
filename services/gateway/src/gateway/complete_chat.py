"""A `/v1/chat/completions` call: a turn like any other, told in OpenAI's shapes.

| what happens in the turn | streamed | not streamed |
|---|---|---|
| it fails before anything was sent | an HTTP error | an HTTP error |
| it fails later | `data: {"error": …}`, and the stream ends | an HTTP error |
| it is taken over and says the same words | goes on after them | as if nothing had been |
| it is taken over and says other words | `data: {"error": …}`, and the turn is stopped | as if nothing had been |
| the caller hangs up | the turn is stopped | the turn is stopped |
| … who sent an `Idempotency-Key` | the turn goes on: they may come back for it | the turn goes on |
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import orjson

from gateway.errors import TurnFailed, TurnNotFinished
from gateway.follow_turn import Followable, follow_turn
from gateway.openai_answer import DONE, ChunkFrames, completion, error_frame, finish_reason_of
from gateway.openai_errors import openai_error
from gateway.sent_words import SentWords, WordsDiffer
from gateway.turn_follower import TurnEvent
from wire.contracts.chat import ENDED_STATES, Turn, TurnError, TurnUsage
from wire.ids import PersonId, TurnId
from wire.log import get_logger
from wire.problems import Problem
from wire.telemetry.spans import TraceHeaders, background_transaction, trace_headers
from wire.turn_events import HEARTBEAT, TERMINAL

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
FIRST_WORDS = frozenset({"delta", "chunk", *TERMINAL})
WORDS_DIFFER = TurnError(
    code="answer_began_again",
    message="The answer had to be begun again with other words. Send the request again for a whole one.",
    retryable=True,
)

log = get_logger(__name__)

Errand = Callable[[Coroutine[Any, Any, None]], None]


class Completion:
    """One call: the turn that was accepted for it, followed for one caller."""

    def __init__(
        self,
        tools: Followable,
        person: PersonId,
        turn: Turn,
        *,
        idempotency_key: str | None,
        run_errand: Errand,
    ) -> None:
        self._tools = tools
        self._person = person
        self._turn = turn
        self._idempotency_key = idempotency_key
        self._run_errand = run_errand
        self._trace = trace_headers()
        self._events = follow_turn(tools, person, turn)
        self._told_all = False

    async def whole(self) -> dict[str, Any]:
        """The finished answer as a `chat.completion`.

        Raises:
            TurnFailed, TurnNotFinished: as they say.
        """
        async with aclosing(self._events):
            async for batch in self._events:
                if batch and batch[-1].kind in TERMINAL:
                    break
            else:
                raise TurnNotFinished
        turn = await self._ended_turn()
        if turn.state == "failed":
            raise TurnFailed(turn.error or _error_of(batch[-1]))
        return completion(turn)

    async def _ended_turn(self) -> Turn:
        """The answer is paid for: chat is asked more than once for it."""
        for pause_s in PAUSES_S:
            turn = await self._tools.snapshot(self._person, TurnId(self._turn.id))
            if turn is not None and turn.state in ENDED_STATES:
                return turn
            await asyncio.sleep(pause_s)
        raise TurnNotFinished

    async def first_words(self) -> list[TurnEvent]:
        """The first events that say something: what is decided here can still be told by a status.

        Raises:
            TurnFailed, TurnNotFinished: as they say.
        """
        async for batch in self._events:
            first = next((event for event in batch if event.kind in FIRST_WORDS), None)
            if first is None:
                continue
            if first.kind == "error":
                await self._events.aclose()
                raise TurnFailed(_error_of(first))
            return batch
        raise TurnNotFinished

    async def stream(self, first: list[TurnEvent], *, with_usage: bool) -> AsyncGenerator[bytes]:
        """The chunks of the answer, beginning with `first`."""
        teller = CompletionTeller(ChunkFrames(self._turn, with_usage=with_usage), with_usage=with_usage)
        async with aclosing(self._events):
            yield teller.begin() + teller.tell(first)
            while not teller.over:
                batch = await anext(self._events, None)
                if batch is None:
                    yield error_frame(openai_error(TurnNotFinished()))
                    break
                yield teller.tell(batch) or HEARTBEAT
        self._told_all = not teller.gave_up

    def settle(self) -> None:
        """To be called when the stream is over: a caller who left before its end hung up."""
        if not self._told_all:
            self.hang_up()

    def hang_up(self) -> None:
        """Nobody waits for the answer now: the turn is stopped, in work of its own, unless its key may come again."""
        if self._idempotency_key is not None:
            log.info("caller hung up, turn goes on", turn_id=self._turn.id)
            return
        self._run_errand(stop_unheard_turn(self._tools, self._person, TurnId(self._turn.id), trace=self._trace))


class CompletionTeller:
    """Turn events in, frames of OpenAI's stream out."""

    def __init__(self, frames: ChunkFrames, *, with_usage: bool) -> None:
        self.over = False
        self.gave_up = False
        """The answer goes on in a way that can't be told."""
        self._frames = frames
        self._with_usage = with_usage
        self._words = SentWords()
        self._sent_chunks = False
        self._usage: TurnUsage | None = None

    def begin(self) -> bytes:
        return self._frames.delta({"role": "assistant", "content": ""})

    def tell(self, events: list[TurnEvent]) -> bytes:
        try:
            return b"".join([self._frame(event) for event in events if not self.over])
        except WordsDiffer:
            self.over = self.gave_up = True
            return error_frame(openai_error(TurnFailed(WORDS_DIFFER)))

    def _frame(self, event: TurnEvent) -> bytes:
        data: dict[str, Any] = orjson.loads(event.data)
        match event.kind:
            case "delta":
                new = self._words.news(data["text"])
                return self._frames.delta({"content": new}) if new else b""
            case "chunk":
                self._sent_chunks = True
                return self._frames.delta(data.get("delta") or {}, logprobs=data.get("logprobs"))
            case "restart":
                if self._sent_chunks:
                    raise WordsDiffer
                self._words.restart(data["offset"])
            case "usage":
                self._usage = TurnUsage.model_validate(data)
            case "end":
                self._words.end()
                return self._end(data["finish_reason"])
            case "error":
                self.over = True
                return error_frame(openai_error(TurnFailed(TurnError.model_validate(data))))
            case _:
                pass
        return b""

    def _end(self, reason: str) -> bytes:
        self.over = True
        frames = [self._frames.delta({}, finish_reason=finish_reason_of(reason))]
        if self._with_usage and self._usage is not None:
            frames.append(self._frames.usage(self._usage))
        return b"".join([*frames, DONE])


async def stop_unheard_turn(tools: Followable, person: PersonId, turn: TurnId, *, trace: TraceHeaders) -> None:
    """The turn is stopped, unless it has ended or chat is away."""
    with background_transaction("stop unheard turn", headers=trace):
        try:
            await tools.chat.stop_turn(person, turn)
        except Problem as problem:
            log.warning("unheard turn was not stopped", turn_id=turn, code=problem.code)
            return
    log.info("caller hung up, turn stopped", turn_id=turn)


def _error_of(event: TurnEvent) -> TurnError:
    return TurnError.model_validate_json(event.data)
