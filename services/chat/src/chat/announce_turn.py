"""Tells a turn's readers how an attempt begins and how it ended. What lies between goes straight to the publisher."""

from chat.call_provider import Call
from chat.claim_turn import Claim
from chat.provider.stream import DEFAULT_REASON
from chat.publish_events import EventPublisher
from chat.running_turns import RunningTurn
from chat.save_conversation import ended_state
from wire.contracts.chat import TurnError
from wire.telemetry.spans import current_trace_id
from wire.turn_events import RestartData, TurnData


async def announce_begin(publisher: EventPublisher, claim: Claim, turn: RunningTurn) -> None:
    if claim.attempt > 1:
        restart: RestartData = {"attempt": claim.attempt, "offset": turn.length, "reason": "worker_lost"}
        await publisher.begin(turn, "restart", restart)
        return
    data: TurnData = {
        "turn_id": claim.turn,
        "conversation_id": claim.conversation,
        "message_id": claim.turn,
        "person_message_id": claim.person_message,
        "model": claim.model,
        "attempt": claim.attempt,
        "trace_id": current_trace_id(),
        "state": "running",
    }
    await publisher.begin(turn, "turn", data)


def announce_withdrawal(publisher: EventPublisher, turn: RunningTurn) -> None:
    """What the readers have of the answer is not kept: they forget it before they hear of the end."""
    restart: RestartData = {"attempt": turn.attempt, "offset": 0, "reason": "not_saved"}
    publisher.event(turn, "restart", restart)


async def announce_end(
    publisher: EventPublisher, turn: RunningTurn, call: Call | None, error: TurnError | None
) -> None:
    if call is not None:
        publisher.event(turn, "usage", call.usage_data())
    if error is not None:
        publisher.event(turn, "error", {**error.model_dump(), "length": turn.length})
    elif call is not None:
        reason = call.finish_reason or DEFAULT_REASON
        end = {"state": ended_state(call, error), "length": turn.length, "finish_reason": reason}
        publisher.event(turn, "end", end)
    await publisher.end(turn)
