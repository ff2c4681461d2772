"""Settles a provider call in the database: its row is closed and the ledger's event waits in the outbox, together."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.prompt import estimate_tokens
from chat.stores import call_store, outbox_store
from wire.contracts.jobs import RECORD_USAGE, UsageEvent
from wire.ids import TurnId
from wire.telemetry.spans import trace_headers


async def settle_call(connection: AsyncConnection, event: UsageEvent) -> bool:
    """`False` when the call was settled before: then nothing is written, so that it is counted once."""
    if not await call_store.settle_call(connection, event):
        return False
    await outbox_store.add_event(connection, event.event_id, RECORD_USAGE, event, trace_headers())
    return True


async def settle_open_calls(connection: AsyncConnection, turn: TurnId, *, said: str) -> list[UsageEvent]:
    """Calls whose end nobody saw are settled as `aborted`; `said` is what is known of their answer."""
    events: list[UsageEvent] = []
    for call in await call_store.open_calls_of(connection, turn):
        event = _aborted(call, said)
        if await settle_call(connection, event):
            events.append(event)
    return events


def _aborted(call: Row[Any], said: str) -> UsageEvent:
    return UsageEvent(
        event_id=call.id,
        turn_id=call.turn_id,
        session_id=call.session_id,
        owner_id=call.owner_id,
        origin=call.origin,
        attempt=call.attempt,
        call=call.call,
        purpose=call.purpose,
        state="aborted",
        model=call.model,
        provider=call.provider,
        price=call.price,
        input_tokens=call.input_tokens or 0,
        output_tokens=estimate_tokens(len(said)),
        token_source="estimated",  # noqa: S106  the source of a count, no password
        error_class="WorkerLost",
        trace_id=call.trace_id,
        started_at=call.opened_at,
        ended_at=datetime.now(UTC),
    )
