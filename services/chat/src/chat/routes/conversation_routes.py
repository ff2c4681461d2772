"""`/conversations` and `/models`."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import AfterValidator, AwareDatetime
from redis.asyncio import Redis

from chat import conversations
from chat.catalogue import Catalogue
from wire.contracts.chat import (
    Conversation,
    ConversationChange,
    ConversationDetail,
    ConversationPage,
    ModelList,
    NewConversation,
    UuidText,
)
from wire.database import Database
from wire.ids import ConversationId
from wire.service_tokens import Caller


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("This moment is beyond the years that can be told.") from error


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
ConversationPath = Annotated[UuidText, Path(alias="conversation_id")]


def conversation_routes(
    database: Database, catalogue: Catalogue, redis: Redis, caller: Callable[..., Awaitable[Caller]]
) -> APIRouter:
    router = APIRouter()

    @router.get("/models")
    async def list_models(who: Annotated[Caller, Depends(caller)]) -> ModelList:
        return await catalogue.models()

    @router.post("/conversations", status_code=201)
    async def create_conversation(new: NewConversation, who: Annotated[Caller, Depends(caller)]) -> Conversation:
        return await conversations.create_conversation(database, catalogue, who.person, new)

    @router.get("/conversations")
    async def list_conversations(
        who: Annotated[Caller, Depends(caller)],
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Moment | None = None,
    ) -> ConversationPage:
        return await conversations.list_conversations(database, who.person, limit=limit, before=before)

    @router.get("/conversations/{conversation_id}")
    async def read_conversation(
        conversation: ConversationPath, who: Annotated[Caller, Depends(caller)]
    ) -> ConversationDetail:
        return await conversations.read_conversation(database, who.person, ConversationId(conversation))

    @router.patch("/conversations/{conversation_id}")
    async def change_conversation(
        conversation: ConversationPath, change: ConversationChange, who: Annotated[Caller, Depends(caller)]
    ) -> Conversation:
        return await conversations.change_conversation(
            database, catalogue, who.person, ConversationId(conversation), change
        )

    @router.delete("/conversations/{conversation_id}", status_code=204)
    async def delete_conversation(conversation: ConversationPath, who: Annotated[Caller, Depends(caller)]) -> None:
        await conversations.delete_conversation(database, redis, who.person, ConversationId(conversation))

    return router
