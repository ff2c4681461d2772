"""Answers one turn, from the claim to the saved end. The worker's main path, read from top to bottom.

claim → first event → provider, streamed → save → last events → tracking's queue
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from chat.announce_turn import announce_begin, announce_end, announce_withdrawal
from chat.call_provider import Call, call_provider
from chat.catalogue import Catalogue
from chat.claim_turn import FIRST_CALL, Claim, claim_turn, open_call
from chat.errors import TurnLost
from chat.provider.client import ProviderClients
from chat.publish_events import EventPublisher
from chat.running_turns import RunningTurn, RunningTurns
from chat.save_conversation import Event, ended_state, save_conversation
from chat.send_events import send_events
from chat.settle_calls import settle_call
from chat.stores import turn_store
from wire.contracts.chat import TurnError
from wire.contracts.jobs import RECORD_USAGE, REPLY, ReplyJob
from wire.database import Database, DatabaseUnavailable
from wire.ids import TurnId
from wire.log import get_logger
from wire.queue import Queue, QueueUnavailable
from wire.queue_worker import TryLater
from wire.telemetry.profiling import profile
from wire.telemetry.spans import report_error, set_measurements, set_person, tag

RETRY_CLAIM_S = 1.0
RETRY_SAVE_S = 0.5
SAVE_TRIES = 120
BACKOFF_S = 0.5
HAND_OVER_TIMEOUT_S = 3.0

INTERNAL = TurnError(
    code="internal_error",
    message="Something went wrong while answering. It has been reported; try again.",
    retryable=True,
)
NOT_SAVED = TurnError(
    code="not_saved", message="The answer could not be saved. It has been reported; try again.", retryable=True
)
MODEL_GONE = TurnError(
    code="unknown_model", message="This model is no longer configured. Pick another one.", retryable=False
)

WrittenT = TypeVar("WrittenT")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answering:
    """What answering needs of the process."""

    worker: str
    database: Database
    catalogue: Catalogue
    clients: ProviderClients
    publisher: EventPublisher
    turns: RunningTurns
    own_queue: Queue
    tracking_queue: Queue


@profile(tags={"operation": "answer", "phase": "process"})
async def process_chat_message(tools: Answering, turn_id: TurnId) -> None:
    """The turn has ended and is saved, or was not to be had, or is another's by now.

    Raises:
        TryLater: the database is away; nothing was claimed.
    """
    try:
        claim = await claim_turn(tools.database, tools.catalogue, turn_id, tools.worker)
    except DatabaseUnavailable as error:
        raise TryLater(RETRY_CLAIM_S) from error
    if claim is None:
        log.info("turn is not queued any more", turn_id=turn_id)
        return
    set_person(claim.owner)
    tag(turn_id=claim.turn, conversation_id=claim.conversation, model=claim.model)
    turn = RunningTurn(claim.turn, claim.attempt)
    turn.restart_at(claim.kept_text)
    tools.turns.add(turn)
    try:
        await _answer(tools, claim, turn)
    except TurnLost:
        log.warning("turn was taken over", turn_id=claim.turn, attempt=claim.attempt)
        await tools.publisher.abandon(turn)
    except asyncio.CancelledError:
        await asyncio.shield(_hand_over(tools, claim, turn))
        raise
    finally:
        tools.turns.remove(turn)
        tools.publisher.forget(turn)


async def _answer(tools: Answering, claim: Claim, turn: RunningTurn) -> None:
    await send_events(tools.tracking_queue, [(RECORD_USAGE, event) for event in claim.aborted])
    await announce_begin(tools.publisher, claim, turn)
    try:
        call = None if claim.route is None else await _call_with_retries(tools, claim, turn)
        error = _turn_error(turn, call)
        events = await _save(tools, claim, turn, call, error)
    except (TurnLost, DatabaseUnavailable):
        raise
    except Exception:  # a bug must not leave the turn running: it ends as failed, and the job reports the error
        await _fail(tools, claim, turn)
        raise
    await _end(tools, claim, turn, call, error, events)
    if call is not None and call.error is not None and call.error.worth_reporting and error is not None:
        report_error(call.error)


async def _fail(tools: Answering, claim: Claim, turn: RunningTurn) -> None:
    """The turn has failed, with as much of the answer as can be saved: a turn that can't end would be tried again."""
    turn.chunks = []  # perhaps it is these that can't be saved
    error = INTERNAL
    try:
        events = await _save(tools, claim, turn, None, error)
    except (TurnLost, DatabaseUnavailable):
        raise
    except Exception as refused:  # then it is the text: the error of before it is what the job reports
        log.warning("turn ends without its text", turn_id=claim.turn, error=type(refused).__name__)
        error = NOT_SAVED
        turn.withdraw()
        events = await _save(tools, claim, turn, None, error)
        announce_withdrawal(tools.publisher, turn)
    await _end(tools, claim, turn, None, error, events)


async def _call_with_retries(tools: Answering, claim: Claim, turn: RunningTurn) -> Call:
    """The last call. A failure is tried again while nothing of an answer has been said and nobody wants a stop."""
    assert claim.route is not None, "only a model on offer is called"
    number = FIRST_CALL
    while True:
        call = await call_provider(tools.clients, tools.publisher, claim, turn, number)
        failed = call.error is not None and call.error.retryable and not call.said_anything
        if not failed or number > claim.route.entry.retries:
            return call
        log.warning("provider call is tried again", turn_id=claim.turn, error=type(call.error).__name__)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(turn.interrupted.wait(), BACKOFF_S * 2 ** (number - 1))
        if turn.interrupted.is_set():
            return call
        await _settle_and_open_next(tools, claim, call, number + 1)
        number += 1


async def _settle_and_open_next(tools: Answering, claim: Claim, call: Call, next_number: int) -> None:
    """Raises TurnLost: a call of an attempt that is over would have nobody to settle it."""
    event = call.usage_event()

    async def write() -> None:
        async with tools.database.transaction() as connection:
            if not await turn_store.is_held(connection, claim.turn, claim.attempt):
                raise TurnLost
            await settle_call(connection, event)
            await open_call(connection, claim, next_number)

    await _while_database_is_away(write, claim.turn)
    await send_events(tools.tracking_queue, [(RECORD_USAGE, event)])


async def _save(
    tools: Answering, claim: Claim, turn: RunningTurn, call: Call | None, error: TurnError | None
) -> list[Event]:
    return await _while_database_is_away(
        lambda: save_conversation(tools.database, claim, turn, call, error), claim.turn
    )


async def _while_database_is_away(write: Callable[[], Awaitable[WrittenT]], turn: TurnId) -> WrittenT:
    """Tries for a minute: an answer that was paid for outlives a restart of the database."""
    for _ in range(SAVE_TRIES):
        try:
            return await write()
        except DatabaseUnavailable:
            log.warning("the database is away, the turn is kept and written again", turn_id=turn)
            await asyncio.sleep(RETRY_SAVE_S)
    return await write()


async def _end(
    tools: Answering,
    claim: Claim,
    turn: RunningTurn,
    call: Call | None,
    error: TurnError | None,
    events: list[Event],
) -> None:
    """What is saved is told: to the readers, to tracking, to the operators."""
    tools.turns.remove(turn)
    await announce_end(tools.publisher, turn, call, error)
    await send_events(tools.tracking_queue, events)
    _measure(call)
    log.info(
        "turn ended",
        turn_id=claim.turn,
        model=claim.model,
        state=ended_state(call, error),
        attempt=claim.attempt,
        chars=turn.length,
        time_to_first_token_ms=None if call is None else call.time_to_first_token_ms,
        error=None if error is None else error.code,
    )


async def _hand_over(tools: Answering, claim: Claim, turn: RunningTurn) -> None:
    """This process is ending: the turn is queued again at once, rather than when its lease has run out."""
    try:
        async with asyncio.timeout(HAND_OVER_TIMEOUT_S):
            async with tools.database.transaction() as connection:
                handed = await turn_store.hand_over(connection, claim.turn, claim.attempt, turn.text)
            if handed:
                await tools.own_queue.publish(REPLY, ReplyJob(turn_id=claim.turn))
                log.info("turn is handed over", turn_id=claim.turn, attempt=claim.attempt)
    except (DatabaseUnavailable, QueueUnavailable, TimeoutError):
        log.warning("turn is left to the sweep", turn_id=claim.turn)


def _turn_error(turn: RunningTurn, call: Call | None) -> TurnError | None:
    """What the person reads; nothing when they stopped the turn before the provider could be asked again."""
    if call is None:
        return MODEL_GONE
    if call.error is None or (turn.interruption == "stopped" and not call.said_anything):
        return None
    return TurnError(code=call.error.code, message=call.error.message, retryable=call.error.retryable)


def _measure(call: Call | None) -> None:
    if call is None:
        return
    used = call.tokens
    set_measurements(
        stream_duration_seconds=(call.duration_ms / 1000, "second"),
        prompt_tokens=(used.input_tokens, "none"),
        completion_tokens=(used.output_tokens, "none"),
        total_tokens=(used.input_tokens + used.output_tokens, "none"),
    )
