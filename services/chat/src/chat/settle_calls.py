"""Settles a provider call in the database: its row is closed and the ledger's event waits in the outbox, together."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.prompt import estimate_tokens, prompt_from_branch, prompt_from_completion
from chat.stores import call_store, conversation_store, outbox_store
from wire.contracts.jobs import RECORD_USAGE, UsageEvent
from wire.ids import MessageId, TurnId
from wire.telemetry.spans import trace_headers


async def settle_call(connection: AsyncConnection, event: UsageEvent) -> bool:
    """`False` when the call was settled before: then nothing is written, so that it is counted once."""
    if not await call_store.settle_call(connection, event):
        return False
    await outbox_store.add_event(connection, event.event_id, RECORD_USAGE, event, trace_headers())
    return True


async def settle_open_calls(connection: AsyncConnection, turn: Row[Any]) -> list[UsageEvent]:
    """Calls of an attempt that is gone are settled as `aborted`, with tokens estimated from its last checkpoint."""
    events: list[UsageEvent] = []
    for call in await call_store.open_calls_of(connection, TurnId(turn.id)):
        event = await _aborted(connection, turn, call)
        if await settle_call(connection, event):
            events.append(event)
    return events


async def _aborted(connection: AsyncConnection, turn: Row[Any], call: Row[Any]) -> UsageEvent:
    if turn.completion is not None:
        prompt = prompt_from_completion(turn.completion)
    else:
        branch = await conversation_store.branch_to(connection, MessageId(turn.person_message_id))
        prompt = prompt_from_branch(branch, None)
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
        input_tokens=prompt.estimated_tokens,
        output_tokens=estimate_tokens(len(turn.partial_text)),
        token_source="estimated",  # noqa: S106  the source of a count, no password
        error_class="WorkerLost",
        trace_id=call.trace_id,
        started_at=call.opened_at,
        ended_at=datetime.now(UTC),
    )
