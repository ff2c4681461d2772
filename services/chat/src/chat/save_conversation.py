"""Saves how a turn ended: one transaction, and only while the attempt is still ours.

The answer, the turn's end, the settled call and its outbox events are there together or not at all.
"""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chat.call_provider import Call
from chat.claim_turn import Claim
from chat.complete_switch import complete_switch, switch_completed
from chat.errors import TurnLost
from chat.provider.stream import DEFAULT_REASON
from chat.running_turns import RunningTurn
from chat.settle_calls import settle_call, settle_open_calls
from chat.stores import conversation_store, turn_store
from wire.contracts import Readable
from wire.contracts.chat import ENDED_STATES, TurnError, TurnState
from wire.contracts.jobs import COMPLETE_MODEL_SWITCH, RECORD_USAGE
from wire.database import Database
from wire.ids import MessageId
from wire.telemetry.profiling import profile

Event = tuple[str, Readable]
"""A job on tracking's queue: its name and its payload."""


@profile(tags={"operation": "answer", "phase": "save"})
async def save_conversation(
    database: Database, claim: Claim, turn: RunningTurn, call: Call | None, error: TurnError | None
) -> list[Event]:
    """The turn has ended in the database; returns what tracking is to hear.

    `call` is the last one, `None` when none was made or its end is not known. Saving twice saves once: after a commit
    whose outcome was unknown the same call says that it is done.

    Raises:
        TurnLost: the turn is another attempt's; nothing was saved.
        DatabaseUnavailable: perhaps nothing was saved; call again.
    """
    state = ended_state(call, error)
    async with database.transaction() as connection:
        values = _end_values(turn, call, error, state)
        if await turn_store.finish(connection, claim.turn, claim.attempt, state=state, **values) is None:
            await _raise_unless_saved_before(connection, claim)
            return []
        await conversation_store.insert_message(
            connection,
            MessageId(claim.turn),
            claim.conversation,
            parent=claim.person_message,
            role="assistant",
            text=turn.text,
            model=claim.model,
        )
        await conversation_store.touch(connection, claim.conversation)
        return await _write_events(connection, claim, turn, call, state)


def ended_state(call: Call | None, error: TurnError | None) -> TurnState:
    if error is not None or call is None:
        return "failed"
    return "complete" if call.state == "complete" else "stopped"


def _end_values(turn: RunningTurn, call: Call | None, error: TurnError | None, state: TurnState) -> dict[str, Any]:
    reason = None if call is None else call.finish_reason
    return {
        "chunks": turn.chunks,
        "usage": None if call is None else call.usage_data(),
        "error": None if error is None else error.model_dump(),
        "finish_reason": DEFAULT_REASON if reason is None and state != "failed" else reason,
        "first_token_at": None if call is None else call.first_token_at,
    }


async def _write_events(
    connection: AsyncConnection, claim: Claim, turn: RunningTurn, call: Call | None, state: TurnState
) -> list[Event]:
    """The events, which are in the outbox now."""
    events: list[Event] = []
    if call is not None:
        usage = call.usage_event()
        if await settle_call(connection, usage):
            events.append((RECORD_USAGE, usage))
    else:
        unseen = await settle_open_calls(connection, claim.turn, said=turn.withdrawn or turn.text)
        events.extend((RECORD_USAGE, usage) for usage in unseen)
    if claim.switch is not None:
        completed = switch_completed(claim.switch, claim.turn, state=state)
        await complete_switch(connection, claim.switch, completed)
        events.append((COMPLETE_MODEL_SWITCH, completed))
    return events


async def _raise_unless_saved_before(connection: AsyncConnection, claim: Claim) -> None:
    row = await turn_store.find_turn(connection, claim.turn, claim.owner)
    if row is None or row.attempt != claim.attempt or row.worker is None or row.state not in ENDED_STATES:
        raise TurnLost
