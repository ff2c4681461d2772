"""Completes a model switch: the first turn with the new model has ended, or failed, and tracking is to hear of it."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from chat.stores import conversation_store, outbox_store
from wire.contracts.jobs import COMPLETE_MODEL_SWITCH, SwitchCompleted, SwitchStarted, switch_completed_event_id
from wire.ids import TurnId
from wire.telemetry.spans import trace_headers


def switch_completed(switch: SwitchStarted, turn: TurnId, *, state: str) -> SwitchCompleted:
    """`state` is how the turn has ended."""
    return SwitchCompleted(
        **switch.model_dump(exclude={"metadata"}),
        outcome="failed" if state == "failed" else "completed",
        turn_id=turn,
        completed_at=datetime.now(UTC),
    )


async def complete_switch(connection: AsyncConnection, switch: SwitchStarted, completed: SwitchCompleted) -> None:
    """The conversation's next turn has no switch to complete; the event waits in the outbox."""
    await conversation_store.forget_pending_switch(connection, switch)
    event_id = switch_completed_event_id(completed.tracking_id)
    await outbox_store.add_event(connection, event_id, COMPLETE_MODEL_SWITCH, completed, trace_headers())
