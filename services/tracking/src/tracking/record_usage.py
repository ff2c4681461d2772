"""Counting a provider call."""

from decimal import Decimal
from typing import Any

from tracking.usage_calls import append_call
from wire.contracts.jobs import UsageEvent
from wire.database import Database
from wire.log import get_logger
from wire.telemetry.spans import span

log = get_logger(__name__)


async def record_usage(database: Database, event: UsageEvent) -> None:
    """The call stands in the ledger, once, with its cost as priced then. The first event of an id stays."""
    with span("function", "record_usage"):
        async with database.transaction() as connection:
            is_new = await append_call(connection, call_row(event))
        if not is_new:
            log.info("usage was counted before", event_id=event.event_id)


def call_row(event: UsageEvent) -> dict[str, Any]:
    """The event as a row of `usage_calls`."""
    row = event.model_dump(exclude={"price"})
    if event.price is not None:
        row |= {f"price_{name}": value for name, value in event.price.model_dump().items()}
    return row | {"cost_usd": cost_usd(event)}


def cost_usd(event: UsageEvent) -> Decimal | None:
    """Exact US dollars; `None` when the price is unknown, which is not zero."""
    if event.price is None:
        return None
    return event.price.cost_of(
        input_tokens=event.input_tokens, cached_tokens=event.cached_tokens, output_tokens=event.output_tokens
    )
