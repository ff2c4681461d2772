"""Accepts a message: it and its turn are in PostgreSQL, then a worker is told.

Idempotent by the caller's key: the same request again gives the same turn, another request under the key is refused.
Redis may be away: the turn is accepted all the same, and the sweep tells a worker later.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Row, func
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.catalogue import Catalogue
from chat.conversations import known_model
from chat.keepable import field_problem, refuse_unkeepable
from chat.read_turn import read_text
from chat.stores import conversation_store, outbox_store, turn_store
from chat.views import turn_view
from wire.contracts.chat import AcceptedTurn, NewTurn
from wire.contracts.jobs import REPLY, TRACK_MODEL_SWITCH, ReplyJob, SwitchStarted, switch_started_event_id
from wire.database import Database
from wire.ids import ConversationId, MessageId, PersonId, TurnId, new_id
from wire.log import get_logger
from wire.problems import NotFound, Problem
from wire.queue import Queue, QueueUnavailable
from wire.telemetry.spans import current_trace_id, tag, trace_headers

TITLE_CHARS = 60

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Accepting:
    """What accepting needs of the process."""

    database: Database
    catalogue: Catalogue
    queue: Queue


async def accept_turn(tools: Accepting, owner: PersonId, new: NewTurn) -> AcceptedTurn:
    """The turn that will answer `new`, queued; with `replayed` set, the one that did so before.

    Raises:
        Problem: 404 for an unknown conversation or parent, 409 `turn_in_progress` or `idempotency_conflict`,
            422 for a text or model that can't be used.
        DatabaseUnavailable: nothing was accepted.
    """
    _refuse_unusable(new)
    request_hash = _hash(new)
    before = None
    if new.idempotency_key is not None:
        async with tools.database.transaction() as connection:
            before = await _seen_before(connection, owner, new, request_hash)
    accepted = before or await _accept(tools, owner, new, request_hash)
    if accepted.replayed:
        return accepted
    tag(turn_id=accepted.id, conversation_id=accepted.conversation_id, model=accepted.model)
    await _tell_a_worker(tools.queue, TurnId(accepted.id))
    log.info("turn accepted", turn_id=accepted.id, model=accepted.model)
    return accepted


async def _accept(tools: Accepting, owner: PersonId, new: NewTurn, request_hash: bytes) -> AcceptedTurn:
    """Of two requests at once with one key the second finds the first's turn: it waits for the conversation's row, or
    (a `/v1` call has none to wait for) for the key's entry in the index.
    """
    offered = await known_model(tools.catalogue, new.model) if new.model or new.completion else None
    if offered is None:
        await tools.catalogue.models()  # may ask the provider, which no open transaction should wait for
    try:
        async with tools.database.transaction() as connection:
            conversation = await _conversation(connection, owner, new, offered)
            before = await _seen_before(connection, owner, new, request_hash)
            if before is not None:
                raise _KeyTakenMeanwhile  # noqa: TRY301  it rolls the transaction back
            model = offered or await known_model(tools.catalogue, conversation.model)
            row = await _write_turn(connection, owner, new, conversation, model, request_hash)
            place = await turn_store.place_in_queue(connection, row)
    except _KeyTakenMeanwhile:
        async with tools.database.transaction() as connection:
            before = await _seen_before(connection, owner, new, request_hash)
        assert before is not None, "a key that is taken has a turn"
        return before
    return AcceptedTurn(**turn_view(row, "", place=place).model_dump())


async def _write_turn(
    connection: AsyncConnection,
    owner: PersonId,
    new: NewTurn,
    conversation: Row[Any],
    model: str,
    request_hash: bytes,
) -> Row[Any]:
    parent = None if new.completion else await _parent(connection, conversation, new)
    message_id = MessageId(new_id())
    await conversation_store.insert_message(
        connection, message_id, conversation.id, parent=parent, role="user", text=new.text
    )
    switch = await _switch(connection, owner, conversation, model, parent)
    row = await turn_store.insert_turn(
        connection,
        id=TurnId(new_id()),
        conversation_id=conversation.id,
        person_message_id=message_id,
        owner_id=owner,
        origin="v1" if new.completion else "page",
        model=model,
        completion=None if new.completion is None else new.completion.model_dump(),
        switch=None if switch is None else switch.model_dump(mode="json"),
        idempotency_key=new.idempotency_key,
        request_hash=request_hash,
        trace=trace_headers(),
        trace_id=current_trace_id(),
        enqueued_at=func.now(),
    )
    if row is None:
        raise _KeyTakenMeanwhile
    if new.completion is None:
        await _touch(connection, conversation, new, model, switch)
    return row


class _KeyTakenMeanwhile(Exception):
    """Another request with the same idempotency key was faster."""


async def _seen_before(
    connection: AsyncConnection, owner: PersonId, new: NewTurn, request_hash: bytes
) -> AcceptedTurn | None:
    if new.idempotency_key is None:
        return None
    row = await turn_store.find_by_idempotency_key(connection, owner, new.idempotency_key)
    if row is None:
        return None
    if row.request_hash != request_hash:
        raise Problem(
            409,
            "idempotency_conflict",
            "This Idempotency-Key was used for another message. Send a new key with a new message.",
        )
    text = await read_text(connection, row)
    return AcceptedTurn(**turn_view(row, text).model_dump(), replayed=True)


async def _conversation(connection: AsyncConnection, owner: PersonId, new: NewTurn, model: str | None) -> Row[Any]:
    if new.completion is not None:
        assert model is not None, "a completion names its model or takes the default"
        return await conversation_store.insert_conversation(
            connection, ConversationId(new_id()), owner, model=model, title=title_of(new.text), origin="v1"
        )
    if new.conversation_id is None:
        raise field_problem("conversation_id", "This field is needed.")
    row = await conversation_store.find_conversation(
        connection, ConversationId(new.conversation_id), owner, for_update=True
    )
    if row is None:
        raise NotFound("conversation")
    return row


async def _parent(connection: AsyncConnection, conversation: Row[Any], new: NewTurn) -> MessageId | None:
    """The message that the new one follows: the one it names, or the newest of the conversation."""
    if new.parent_id is not None:
        named = await conversation_store.find_message(connection, MessageId(new.parent_id), conversation.id)
        if named is None or named.role != "assistant":
            raise NotFound("answer to follow in this conversation")
        return MessageId(named.id)
    if await turn_store.has_open_turn(connection, conversation.id):
        raise Problem(
            409, "turn_in_progress", "An answer is still under way in this conversation. Wait for it, or stop it."
        )
    newest = await conversation_store.newest_message(connection, conversation.id)
    return None if newest is None else MessageId(newest.id)


async def _switch(
    connection: AsyncConnection, owner: PersonId, conversation: Row[Any], model: str, parent: MessageId | None
) -> SwitchStarted | None:
    """The switch that this turn completes: one that waits for it, or the one that its own model makes."""
    if conversation.pending_switch is not None and model == conversation.model:
        return SwitchStarted.model_validate(conversation.pending_switch)
    if model == conversation.model or parent is None:
        return None
    switch = SwitchStarted(
        tracking_id=new_id(),
        session_id=conversation.id,
        owner_id=owner,
        from_model=conversation.model,
        to_model=model,
        started_at=datetime.now(UTC),
    )
    await outbox_store.add_event(
        connection, switch_started_event_id(switch.tracking_id), TRACK_MODEL_SWITCH, switch, trace_headers()
    )
    return switch


async def _touch(
    connection: AsyncConnection, conversation: Row[Any], new: NewTurn, model: str, switch: SwitchStarted | None
) -> None:
    values: dict[str, object] = {"model": model}
    if not conversation.title:
        values["title"] = title_of(new.text)
    if switch is not None:
        values["pending_switch"] = switch.model_dump(mode="json")
    await conversation_store.change_conversation(connection, conversation.id, **values)


async def _tell_a_worker(queue: Queue, turn: TurnId) -> None:
    try:
        await queue.publish(REPLY, ReplyJob(turn_id=turn))
    except QueueUnavailable:
        log.warning("redis is away, the sweep will start the turn", turn_id=turn)


def title_of(text: str) -> str:
    """The first line of a message, short enough for a list."""
    first_line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(first_line) <= TITLE_CHARS:
        return first_line
    return first_line[: TITLE_CHARS - 1].rstrip() + "…"


def _refuse_unusable(new: NewTurn) -> None:
    refuse_unkeepable("text", new.text)
    refuse_unkeepable("idempotency_key", new.idempotency_key)
    if new.completion is not None:
        refuse_unkeepable("messages", new.completion.messages)
        refuse_unkeepable("parameters", new.completion.parameters)
    elif not new.text.strip():
        raise field_problem("text", "The message is empty.")


def _hash(new: NewTurn) -> bytes:
    content = orjson.dumps(new.model_dump(exclude={"idempotency_key"}), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).digest()
