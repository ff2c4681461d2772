"""One provider call: streams it into the running turn and says how it ended.

| how it ended | state | tokens |
|---|---|---|
| the whole answer came | `complete` | reported, or estimated if the provider reports none |
| a person pressed stop | `stopped` | reported if that came in time, else estimated |
| it broke after some text | `cut` | the same |
| it failed before any text | `failed` | the same; none if nothing came |
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from chat.claim_turn import Claim
from chat.errors import ProviderError, TurnLost
from chat.prompt import estimate_tokens
from chat.provider.client import ProviderClients
from chat.provider.stream import (
    AnsweringModel,
    ExtraDelta,
    Finished,
    ReportedUsage,
    StreamItem,
    TextDelta,
)
from chat.publish_events import EventPublisher
from chat.running_turns import RunningTurn, chunk_data
from wire.contracts.jobs import UsageEvent
from wire.contracts.money import money_text
from wire.telemetry.gen_ai import ChatSpan, gen_ai_chat
from wire.telemetry.spans import current_trace_id
from wire.turn_events import UsageData


@dataclass(slots=True)
class Call:
    """A provider call, filled in while it runs."""

    claim: Claim
    number: int
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    start: float = field(default_factory=time.perf_counter)
    first_token_at: datetime | None = None
    time_to_first_token_ms: int | None = None
    duration_ms: int = 0
    said_chars: int = 0
    said_anything: bool = False
    response_model: str | None = None
    finish_reason: str | None = None
    reported: ReportedUsage | None = None
    error: ProviderError | None = None
    state: Literal["complete", "stopped", "failed", "cut"] = "complete"

    @property
    def tokens(self) -> ReportedUsage:
        """What the provider reported, or an estimate of it."""
        if self.reported is not None:
            return self.reported
        if not self.said_anything and self.error is not None:
            return ReportedUsage(0, 0, 0, 0)
        return ReportedUsage(self.claim.estimated_input_tokens, estimate_tokens(self.said_chars), 0, 0)

    @property
    def token_source(self) -> Literal["reported", "estimated"]:
        return "estimated" if self.reported is None else "reported"

    @property
    def cost(self) -> Decimal | None:
        price = self.claim.route.entry.price if self.claim.route else None
        if price is None:
            return None
        used = self.tokens
        return price.cost_of(
            input_tokens=used.input_tokens, cached_tokens=used.cached_tokens, output_tokens=used.output_tokens
        )

    def usage_data(self) -> UsageData:
        used = self.tokens
        return {
            "model": self.claim.model,
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "total_tokens": used.input_tokens + used.output_tokens,
            "cached_tokens": used.cached_tokens,
            "reasoning_tokens": used.reasoning_tokens,
            "cost_usd": None if self.cost is None else money_text(self.cost),
            "source": self.token_source,
        }

    def usage_event(self) -> UsageEvent:
        claim, used = self.claim, self.tokens
        assert claim.route is not None, "only a model on offer is called"
        return UsageEvent(
            event_id=claim.call(self.number),
            turn_id=claim.turn,
            session_id=claim.conversation,
            owner_id=claim.owner,
            origin="v1" if claim.origin == "v1" else "page",
            attempt=claim.attempt,
            call=self.number,
            state=self.state,
            model=claim.model,
            response_model=self.response_model,
            provider=claim.route.provider.name,
            input_tokens=used.input_tokens,
            cached_tokens=used.cached_tokens,
            output_tokens=used.output_tokens,
            reasoning_tokens=used.reasoning_tokens,
            token_source=self.token_source,
            price=claim.route.entry.price,
            time_to_first_token_ms=self.time_to_first_token_ms,
            duration_ms=self.duration_ms,
            queue_wait_ms=claim.queue_wait_ms,
            finish_reason=self.finish_reason,
            error_class=None if self.error is None else type(self.error).__name__,
            trace_id=current_trace_id(),
            started_at=self.started_at,
            ended_at=datetime.now(UTC),
        )


async def call_provider(
    clients: ProviderClients, publisher: EventPublisher, claim: Claim, turn: RunningTurn, number: int
) -> Call:
    """The call has ended, in whichever way `Call.state` says; text and chunks are in `turn` and on their way.

    Raises:
        TurnLost: the turn is another attempt's by now.
    """
    assert claim.route is not None, "only a model on offer is called"
    call = Call(claim, number)
    with gen_ai_chat(
        model=claim.route.upstream, provider=claim.route.provider.name, conversation=claim.conversation
    ) as span:
        try:
            await _stream_until_interrupted(clients, publisher, call, turn, span)
        finally:
            call.duration_ms = _elapsed_ms(call.start)
            used = call.tokens
            span.finish(
                finish_reason=call.finish_reason,
                input_tokens=used.input_tokens,
                output_tokens=used.output_tokens,
                cached_tokens=used.cached_tokens,
                reasoning_tokens=used.reasoning_tokens,
                cost=call.cost,
            )
    return call


async def _stream_until_interrupted(
    clients: ProviderClients, publisher: EventPublisher, call: Call, turn: RunningTurn, span: ChatSpan
) -> None:
    """The stream is read in a task of its own, so that an interruption costs nothing per token."""
    reading = asyncio.create_task(_read(clients, publisher, call, turn, span))
    interruption = asyncio.create_task(turn.interrupted.wait())
    try:
        await asyncio.wait({reading, interruption}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        interrupted = not reading.done()
        reading.cancel()
        interruption.cancel()
        await asyncio.gather(reading, interruption, return_exceptions=True)
    if turn.interruption == "lost":
        raise TurnLost
    if interrupted:
        call.state = "stopped"
        call.finish_reason = "stop"
        span.stopped()
        return
    call.error = reading.result()
    if call.error is not None:
        call.state = "cut" if call.said_anything else "failed"
        span.failed(type(call.error).__name__)


async def _read(
    clients: ProviderClients, publisher: EventPublisher, call: Call, turn: RunningTurn, span: ChatSpan
) -> ProviderError | None:
    claim = call.claim
    assert claim.route is not None, "only a model on offer is called"
    messages = claim.prompt.messages
    if turn.length:
        messages = [*messages, {"role": "assistant", "content": turn.text}]
    try:
        async with clients.stream(claim.route, messages, claim.prompt.parameters) as items:
            await _take(items, publisher, call, turn, span)
    except ProviderError as error:
        return error
    return None


async def _take(
    items: AsyncIterator[StreamItem], publisher: EventPublisher, call: Call, turn: RunningTurn, span: ChatSpan
) -> None:
    async for item in items:
        match item:
            case TextDelta(text):
                _note_first_token(call, span)
                call.said_chars += len(text)
                publisher.text(turn, turn.append(text), text)
            case ExtraDelta(delta, logprobs):
                _note_first_token(call, span)
                call.said_chars += _chars_in(delta)
                data = chunk_data(delta, logprobs)
                turn.chunks.append(data)
                publisher.chunk(turn, data)
            case Finished(reason):
                call.finish_reason = reason
            case ReportedUsage():
                call.reported = item
            case AnsweringModel(name):
                call.response_model = name
                span.answered_by(name)


def _note_first_token(call: Call, span: ChatSpan) -> None:
    if call.said_anything:
        return
    call.said_anything = True
    call.first_token_at = datetime.now(UTC)
    call.time_to_first_token_ms = _elapsed_ms(call.start)
    span.first_token(time.perf_counter() - call.start)


def _chars_in(value: Any) -> int:
    """Of what a model says beside plain text: its reasoning, the names and arguments of its calls."""
    match value:
        case str():
            return len(value)
        case list():
            return sum(_chars_in(one) for one in value)
        case dict():
            return sum(_chars_in(one) for one in value.values())
        case _:
            return 0


def _elapsed_ms(start: float) -> int:
    return round((time.perf_counter() - start) * 1000)
