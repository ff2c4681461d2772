"""`/api/conversations`: list, create, read, rename, delete, and another model."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from gateway.parts import PartsOf, Person
from gateway.routes.ids_in_path import ConversationInPath
from gateway.switch_model import SwitchedModel, switch_model
from wire.contracts import StrictBody
from wire.contracts.chat import (
    MAX_TITLE_CHARS,
    Conversation,
    ConversationChange,
    ConversationDetail,
    ConversationPage,
    ModelName,
    NewConversation,
)

MAX_PAGE = 100

router = APIRouter(prefix="/api/conversations")


def _visible(title: str) -> str:
    title = title.strip()
    if not title or "\x00" in title:
        raise ValueError("A title has at least one visible character.")
    return title


class NewTitle(StrictBody):
    title: Annotated[str, Field(min_length=1, max_length=MAX_TITLE_CHARS), AfterValidator(_visible)]


class NewModel(StrictBody):
    model: ModelName


@router.get("")
async def list_conversations(
    parts: PartsOf,
    person: Person,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    before: datetime | None = None,
) -> ConversationPage:
    return await parts.chat.conversations(person, limit=limit, before=before)


@router.post("", status_code=201)
async def create_conversation(parts: PartsOf, person: Person, new: NewConversation) -> Conversation:
    return await parts.chat.create_conversation(person, new)


@router.get("/{conversation_id}")
async def read_conversation(parts: PartsOf, person: Person, conversation: ConversationInPath) -> ConversationDetail:
    return await parts.chat.conversation(person, conversation)


@router.patch("/{conversation_id}")
async def rename_conversation(
    parts: PartsOf, person: Person, conversation: ConversationInPath, new: NewTitle
) -> Conversation:
    return await parts.chat.change_conversation(person, conversation, ConversationChange(title=new.title))


@router.delete("/{conversation_id}", status_code=204)
async def delete_conversation(parts: PartsOf, person: Person, conversation: ConversationInPath) -> None:
    await parts.chat.delete_conversation(person, conversation)


@router.post("/{conversation_id}/model")
async def pick_model(parts: PartsOf, person: Person, conversation: ConversationInPath, new: NewModel) -> SwitchedModel:
    return await switch_model(parts.chat, parts.tracking, person, conversation, new.model)
