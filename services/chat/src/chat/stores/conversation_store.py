"""Conversations and their messages. Every read names the owner: a stranger's id finds nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.prompt import BranchMessage
from chat.tables import conversations, messages
from wire.contracts.jobs import SwitchStarted
from wire.ids import ConversationId, MessageId, PersonId

MAX_BRANCH_MESSAGES = 1000


async def insert_conversation(
    connection: AsyncConnection, conversation: ConversationId, owner: PersonId, *, model: str, title: str, origin: str
) -> Row[Any]:
    statement = (
        insert(conversations)
        .values(id=conversation, owner_id=owner, model=model, title=title, origin=origin)
        .returning(conversations)
    )
    return (await connection.execute(statement)).one()


async def find_conversation(
    connection: AsyncConnection, conversation: ConversationId, owner: PersonId, *, for_update: bool = False
) -> Row[Any] | None:
    statement = select(conversations).where(_is_owned(conversation, owner))
    if for_update:
        statement = statement.with_for_update()
    return (await connection.execute(statement)).one_or_none()


async def page_of_conversations(
    connection: AsyncConnection, owner: PersonId, *, limit: int, before: datetime | None
) -> Sequence[Row[Any]]:
    """The newest first. Calls through `/v1` have conversations too; they are not in this list."""
    statement = (
        select(conversations)
        .where(conversations.c.owner_id == owner, conversations.c.origin == "page")
        .order_by(conversations.c.updated_at.desc(), conversations.c.id)
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(conversations.c.updated_at < before)
    return (await connection.execute(statement)).all()


async def change_conversation(connection: AsyncConnection, conversation: ConversationId, **values: object) -> Row[Any]:
    statement = (
        update(conversations)
        .where(conversations.c.id == conversation)
        .values(updated_at=func.now(), **values)
        .returning(conversations)
    )
    return (await connection.execute(statement)).one()


async def touch(connection: AsyncConnection, conversation: ConversationId) -> None:
    """The conversation changed now, and so stands first in its owner's list."""
    statement = update(conversations).where(conversations.c.id == conversation).values(updated_at=func.now())
    await connection.execute(statement)


async def forget_pending_switch(connection: AsyncConnection, switch: SwitchStarted) -> None:
    """The switch waits for a first turn no longer; one that was made since does."""
    waits = conversations.c.pending_switch["tracking_id"].astext == switch.tracking_id
    await connection.execute(
        update(conversations).where(conversations.c.id == switch.session_id, waits).values(pending_switch=None)
    )


async def delete_conversation(connection: AsyncConnection, conversation: ConversationId) -> None:
    await connection.execute(delete(conversations).where(conversations.c.id == conversation))


async def insert_message(
    connection: AsyncConnection,
    message: MessageId,
    conversation: ConversationId,
    *,
    parent: MessageId | None,
    role: str,
    text: str,
    model: str | None = None,
) -> None:
    await connection.execute(
        insert(messages).values(
            id=message, conversation_id=conversation, parent_id=parent, role=role, text=text, model=model
        )
    )


async def messages_of(connection: AsyncConnection, conversation: ConversationId) -> Sequence[Row[Any]]:
    statement = (
        select(messages)
        .where(messages.c.conversation_id == conversation)
        .order_by(messages.c.created_at, messages.c.id)
    )
    return (await connection.execute(statement)).all()


async def newest_message(connection: AsyncConnection, conversation: ConversationId) -> Row[Any] | None:
    statement = (
        select(messages)
        .where(messages.c.conversation_id == conversation)
        .order_by(messages.c.created_at.desc(), messages.c.id.desc())
        .limit(1)
    )
    return (await connection.execute(statement)).one_or_none()


async def find_message(
    connection: AsyncConnection, message: MessageId, conversation: ConversationId
) -> Row[Any] | None:
    statement = select(messages).where(messages.c.id == message, messages.c.conversation_id == conversation)
    return (await connection.execute(statement)).one_or_none()


async def branch_to(connection: AsyncConnection, message: MessageId) -> list[BranchMessage]:
    """The messages from the root of the tree to `message`, that one last; the newest `MAX_BRANCH_MESSAGES` of them."""
    columns = (messages.c.parent_id, messages.c.role, messages.c.text)
    branch = select(*columns, literal(1).label("depth")).where(messages.c.id == message).cte("branch", recursive=True)
    branch = branch.union_all(
        select(*columns, branch.c.depth + 1).where(
            and_(messages.c.id == branch.c.parent_id, branch.c.depth < MAX_BRANCH_MESSAGES)
        )
    )
    statement = select(branch.c.role, branch.c.text).order_by(branch.c.depth.desc())
    return [BranchMessage(role, text) for role, text in (await connection.execute(statement)).all()]


def _is_owned(conversation: ConversationId, owner: PersonId) -> Any:
    return and_(conversations.c.id == conversation, conversations.c.owner_id == owner)
