"""Ends a turn that no worker answers: stopped while it waited, or given up. The text so far is its answer."""

from typing import Any

from redis.asyncio import Redis
from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.complete_switch import complete_switch, switch_completed
from chat.publish_events import publish_last
from chat.settle_calls import settle_open_calls
from chat.stores import conversation_store, turn_store
from wire.contracts.chat import TurnError
from wire.contracts.jobs import SwitchStarted
from wire.database import is_unavailable
from wire.ids import ConversationId, MessageId, TurnId
from wire.log import get_logger
from wire.telemetry.spans import report_error

STOPPED_REASON = "stop"

log = get_logger(__name__)


async def end_without_worker(connection: AsyncConnection, turn: Row[Any], error: TurnError | None) -> int:
    """The turn, which the caller has locked, has failed with `error`, or has stopped; its calls are settled.

    Returns the length of its answer, which is empty where the database refuses the text so far: the turn ends all the
    same, or it would hold up every other that the sweep is to end. A switch that a stopped turn was to complete waits
    for the next one.
    """
    turn_id, conversation = TurnId(turn.id), ConversationId(turn.conversation_id)
    await settle_open_calls(connection, turn_id, said=turn.partial_text)
    await turn_store.end_without_worker(
        connection,
        turn_id,
        state="stopped" if error is None else "failed",
        error=None if error is None else error.model_dump(),
        finish_reason=STOPPED_REASON if error is None else None,
    )
    length = len(turn.partial_text)
    try:
        async with connection.begin_nested():
            await _insert_answer(connection, turn, turn.partial_text)
    except DBAPIError as refused:
        if is_unavailable(refused):
            raise
        log.error("turn ends without its text", turn_id=turn_id, error=type(refused).__name__)
        report_error(refused, turn_id=turn_id)
        await _insert_answer(connection, turn, "")
        length = 0
    await conversation_store.touch(connection, conversation)
    if error is not None and turn.switch is not None:
        switch = SwitchStarted.model_validate(turn.switch)
        await complete_switch(connection, switch, switch_completed(switch, turn_id, state="failed"))
    return length


async def _insert_answer(connection: AsyncConnection, turn: Row[Any], text: str) -> None:
    await conversation_store.insert_message(
        connection,
        MessageId(turn.id),
        ConversationId(turn.conversation_id),
        parent=turn.person_message_id,
        role="assistant",
        text=text,
        model=turn.model,
    )


async def tell_end_without_worker(redis: Redis, turn: Row[Any], error: TurnError | None, length: int) -> None:
    """Whoever follows the turn hears of the end that `end_without_worker` gave it."""
    if error is None:
        end = {"state": "stopped", "length": length, "finish_reason": STOPPED_REASON}
        await publish_last(redis, TurnId(turn.id), turn.attempt, "end", end)
    else:
        await publish_last(redis, TurnId(turn.id), turn.attempt, "error", {**error.model_dump(), "length": length})
