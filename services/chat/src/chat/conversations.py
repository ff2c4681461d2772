"""What people do with their conversations: list, make, read, rename, give another model, delete."""

from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.catalogue import Catalogue
from chat.keepable import field_problem, refuse_unkeepable
from chat.settle_calls import settle_open_calls
from chat.stores import conversation_store, outbox_store, turn_store
from chat.views import answer_under_way, conversation_view, message_view
from wire.contracts.chat import (
    ENDED_STATES,
    Conversation,
    ConversationChange,
    ConversationDetail,
    ConversationPage,
    NewConversation,
)
from wire.contracts.jobs import TRACK_MODEL_SWITCH, SwitchStarted, switch_started_event_id
from wire.database import Database
from wire.ids import ConversationId, PersonId, TurnId, new_id
from wire.log import get_logger
from wire.problems import NotFound, Problem
from wire.redis_keys import STOPS_CHANNEL, turn_stream
from wire.telemetry.spans import trace_headers

log = get_logger(__name__)


async def create_conversation(
    database: Database, catalogue: Catalogue, owner: PersonId, new: NewConversation
) -> Conversation:
    model = await known_model(catalogue, new.model)
    async with database.transaction() as connection:
        row = await conversation_store.insert_conversation(
            connection, ConversationId(new_id()), owner, model=model, title="", origin="page"
        )
    return conversation_view(row)


async def list_conversations(
    database: Database, owner: PersonId, *, limit: int, before: datetime | None
) -> ConversationPage:
    async with database.transaction() as connection:
        rows = await conversation_store.page_of_conversations(connection, owner, limit=limit + 1, before=before)
    page = [conversation_view(row) for row in rows[:limit]]
    following = page[-1].updated_at.isoformat() if len(rows) > limit else None
    return ConversationPage(conversations=page, next=following)


async def read_conversation(database: Database, owner: PersonId, conversation: ConversationId) -> ConversationDetail:
    """The conversation with all its messages, oldest first; answers under way come last, with their text so far."""
    async with database.transaction() as connection:
        row = await conversation_store.find_conversation(connection, conversation, owner)
        if row is None:
            raise NotFound("conversation")
        turns = await turn_store.turns_of(connection, conversation)
        messages = await conversation_store.messages_of(connection, conversation)
    turn_by_answer = {turn.id: turn for turn in turns}
    said = [message_view(message, turn_by_answer.get(message.id)) for message in messages]
    saved_meanwhile = {message.id for message in messages}  # a turn may end between the two statements
    under_way = [
        answer_under_way(turn) for turn in turns if turn.state not in ENDED_STATES and turn.id not in saved_meanwhile
    ]
    return ConversationDetail(**conversation_view(row).model_dump(), messages=said + under_way)


async def change_conversation(
    database: Database,
    catalogue: Catalogue,
    owner: PersonId,
    conversation: ConversationId,
    change: ConversationChange,
) -> Conversation:
    """A new title, or a new model. The switch waits for the first turn that ends with the new model."""
    if change.title is not None:
        refuse_unkeepable("title", change.title)
        if not change.title.strip():
            raise field_problem("title", "The title is empty.")
    if change.model is not None:
        await known_model(catalogue, change.model)
    async with database.transaction() as connection:
        row = await conversation_store.find_conversation(connection, conversation, owner, for_update=True)
        if row is None:
            raise NotFound("conversation")
        values: dict[str, object] = {}
        if change.title is not None:
            values["title"] = change.title.strip()
        if change.model is not None:
            values["model"] = change.model
            values["pending_switch"] = await _pending_switch(connection, owner, conversation, row.model, change)
        row = await conversation_store.change_conversation(connection, conversation, **values)
    return conversation_view(row)


async def delete_conversation(database: Database, redis: Redis, owner: PersonId, conversation: ConversationId) -> None:
    """The conversation and its text are gone; calls that were under way are settled, since they cost money.

    A worker that is answering is told to stop, and finds its turn lost.
    """
    async with database.transaction() as connection:
        if await conversation_store.find_conversation(connection, conversation, owner) is None:
            raise NotFound("conversation")
        under_way = await turn_store.lock_open_turns(connection, conversation)
        turns = [TurnId(turn.id) for turn in await turn_store.turns_of(connection, conversation)]
        for turn in under_way:
            await settle_open_calls(connection, TurnId(turn.id), said=turn.partial_text)
        await conversation_store.delete_conversation(connection, conversation)
    await _forget_streams(redis, turns, [TurnId(turn.id) for turn in under_way])


async def known_model(catalogue: Catalogue, name: str | None) -> str:
    """`name`, or the default, if it is on offer.

    Raises:
        Problem: 422 `unknown_model`, or 503 `no_models` when there is nothing to choose from.
    """
    chosen = name or await catalogue.default()
    if chosen is None:
        raise Problem(503, "no_models", "No model is configured, or the provider can't be reached. See the settings.")
    if await catalogue.find(chosen) is None:
        sentence = f"There is no model named {chosen!r} here."
        raise Problem(422, "unknown_model", sentence, errors=[{"field": "model", "message": sentence}])
    return chosen


async def _pending_switch(
    connection: AsyncConnection,
    owner: PersonId,
    conversation: ConversationId,
    from_model: str,
    change: ConversationChange,
) -> dict[str, object] | None:
    if change.switch_id is None or change.model is None:
        return None
    switch = SwitchStarted(
        tracking_id=change.switch_id,
        session_id=conversation,
        owner_id=owner,
        from_model=from_model,
        to_model=change.model,
        started_at=datetime.now(UTC),
    )
    if change.record_start:
        await outbox_store.add_event(
            connection,
            switch_started_event_id(switch.tracking_id),
            TRACK_MODEL_SWITCH,
            switch,
            trace_headers(),
        )
    return switch.model_dump(mode="json")


async def _forget_streams(redis: Redis, turns: list[TurnId], under_way: list[TurnId]) -> None:
    try:
        async with redis.pipeline(transaction=False) as pipe:
            for turn in under_way:
                pipe.publish(STOPS_CHANNEL, turn)
            for turn in turns:
                pipe.unlink(turn_stream(turn))
            await pipe.execute()
    except (RedisError, OSError):
        log.warning("redis is away, streams of a deleted conversation end with their lifetime", turns=len(turns))
