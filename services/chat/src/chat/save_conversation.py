"""Saves how a turn ended: one transaction, and only while the attempt is still ours.

The answer, the turn's end, the settled call and its outbox events are there together or not at all.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chat.call_provider import Call
from chat.claim_turn import Claim
from chat.errors import TurnLost
from chat.running_turns import RunningTurn
from chat.settle_calls import settle_call
from chat.stores import conversation_store, outbox_store, turn_store
from wire.contracts import Readable
from wire.contracts.chat import TurnError, TurnState
from wire.contracts.jobs import (
    COMPLETE_MODEL_SWITCH,
    RECORD_USAGE,
    SwitchCompleted,
    switch_completed_event_id,
)
from wire.database import Database
from wire.ids import MessageId
from wire.telemetry.spans import trace_headers

Event = tuple[str, Readable]
"""A job on tracking's queue: its name and its payload."""


async def save_conversation(
    database: Database, claim: Claim, turn: RunningTurn, call: Call | None, error: TurnError | None
) -> list[Event]:
    """The turn has ended in the database; returns what tracking is to hear.

    `call` is the last one, `None` when none was made. Saving twice saves once: after a commit whose outcome was
    unknown the same call says that it is done.

    Raises:
        TurnLost: the turn is another attempt's; nothing was saved.
        DatabaseUnavailable: perhaps nothing was saved; call again.
    """
    state = _state(call, error)
    events = _events(claim, call, state)
    async with database.transaction() as connection:
        saved = await turn_store.finish(
            connection, claim.turn, claim.attempt, state=state, **_end_values(turn, call, error)
        )
        if saved is None:
            await _raise_unless_saved_before(connection, claim)
            return events
        await conversation_store.insert_message(
            connection,
            MessageId(claim.turn),
            claim.conversation,
            parent=claim.person_message,
            role="assistant",
            text=turn.text,
            model=claim.model,
        )
        await conversation_store.settle_pending_switch(connection, claim.conversation, claim.switch)
        await _write_events(connection, claim, call, events)
    return events


def _state(call: Call | None, error: TurnError | None) -> TurnState:
    if error is not None or call is None:
        return "failed"
    return "stopped" if call.state == "stopped" else "complete"


def _end_values(turn: RunningTurn, call: Call | None, error: TurnError | None) -> dict[str, Any]:
    return {
        "chunks": turn.chunks,
        "usage": None if call is None else call.usage_data(),
        "error": None if error is None else error.model_dump(),
        "finish_reason": None if call is None else call.finish_reason,
        "first_token_at": None if call is None else call.first_token_at,
    }


def _events(claim: Claim, call: Call | None, state: TurnState) -> list[Event]:
    events: list[Event] = [] if call is None else [(RECORD_USAGE, call.usage_event())]
    if claim.switch is not None:
        completed = SwitchCompleted(
            **claim.switch.model_dump(exclude={"metadata"}),
            outcome="failed" if state == "failed" else "completed",
            turn_id=claim.turn,
            completed_at=datetime.now(UTC),
        )
        events.append((COMPLETE_MODEL_SWITCH, completed))
    return events


async def _write_events(connection: AsyncConnection, claim: Claim, call: Call | None, events: list[Event]) -> None:
    for job, payload in events:
        if job == RECORD_USAGE and call is not None:
            await settle_call(connection, call.usage_event())
        elif claim.switch is not None:
            event_id = switch_completed_event_id(claim.switch.tracking_id)
            await outbox_store.add_event(connection, event_id, job, payload, trace_headers())


async def _raise_unless_saved_before(connection: AsyncConnection, claim: Claim) -> None:
    row = await turn_store.find_turn(connection, claim.turn, claim.owner)
    if row is None or row.attempt != claim.attempt or row.state == "queued":
        raise TurnLost
