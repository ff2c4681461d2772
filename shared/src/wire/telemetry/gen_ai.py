"""The `gen_ai.chat` span: one a provider call, for every way in which a call can end.

Names are OpenTelemetry's and Sentry's of today. The span closes in a `finally`, so a stream that is stopped, cut or
cancelled has its span too. Prompts and answers are not in it.

See: https://docs.sentry.io/platforms/python/tracing/instrumentation/custom-instrumentation/ai-agents-module/
"""

from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal

import sentry_sdk
from sentry_sdk.tracing import Span

from wire.telemetry.spans import set_span_data


class ChatSpan:
    """What becomes known of a call while it runs."""

    def __init__(self, active: Span) -> None:
        self._span = active

    def first_token(self, seconds: float) -> None:
        set_span_data(self._span, {"gen_ai.response.time_to_first_chunk": round(seconds, 6)})

    def answered_by(self, model: str) -> None:
        set_span_data(self._span, {"gen_ai.response.model": model})

    def finish(
        self,
        *,
        finish_reason: str | None,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int,
        reasoning_tokens: int,
        cost: Decimal | None,
    ) -> None:
        set_span_data(
            self._span,
            {
                "gen_ai.response.finish_reasons": None if finish_reason is None else [finish_reason],
                "gen_ai.usage.input_tokens": input_tokens,
                "gen_ai.usage.output_tokens": output_tokens,
                "gen_ai.usage.total_tokens": input_tokens + output_tokens,
                "gen_ai.usage.cache_read.input_tokens": cached_tokens,
                "gen_ai.usage.reasoning.output_tokens": reasoning_tokens,
                "gen_ai.cost.total_tokens": None if cost is None else float(cost),
            },
        )

    def failed(self, error_type: str) -> None:
        self._span.set_status("internal_error")
        set_span_data(self._span, {"error.type": error_type})

    def stopped(self) -> None:
        self._span.set_status("cancelled")


@contextmanager
def gen_ai_chat(*, model: str, provider: str, conversation: str) -> Generator[ChatSpan]:
    with sentry_sdk.start_span(op="gen_ai.chat", name=f"chat {model}") as active:
        set_span_data(
            active,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.response.streaming": True,
                "gen_ai.conversation.id": conversation,
            },
        )
        yield ChatSpan(active)
