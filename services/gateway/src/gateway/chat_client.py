"""Chat, as the gateway sees it. Every call is for one person; what belongs to another is not found."""

from datetime import datetime

import httpx

from gateway.service_client import ServiceClient
from wire.contracts.chat import (
    AcceptedTurn,
    Conversation,
    ConversationChange,
    ConversationDetail,
    ConversationPage,
    ModelList,
    NewConversation,
    NewTurn,
    Turn,
)
from wire.ids import ConversationId, PersonId, TurnId


class ChatClient:
    """Raises, in every call, what `ServiceClient.ask` raises."""

    def __init__(self, http: httpx.AsyncClient, *, url: str, key: str) -> None:
        self._service = ServiceClient(http, "chat", url=url, key=key)

    async def models(self, person: PersonId) -> ModelList:
        return await self._service.ask(ModelList, "GET", "/models", person=person)

    async def conversations(self, person: PersonId, *, limit: int, before: datetime | None) -> ConversationPage:
        query = {"limit": str(limit)}
        if before is not None:
            query["before"] = before.isoformat()
        return await self._service.ask(ConversationPage, "GET", "/conversations", person=person, query=query)

    async def create_conversation(self, person: PersonId, new: NewConversation) -> Conversation:
        return await self._service.ask(Conversation, "POST", "/conversations", person=person, body=new)

    async def conversation(self, person: PersonId, conversation: ConversationId) -> ConversationDetail:
        path = f"/conversations/{conversation}"
        return await self._service.ask(ConversationDetail, "GET", path, person=person)

    async def change_conversation(
        self, person: PersonId, conversation: ConversationId, change: ConversationChange
    ) -> Conversation:
        path = f"/conversations/{conversation}"
        return await self._service.ask(Conversation, "PATCH", path, person=person, body=change)

    async def delete_conversation(self, person: PersonId, conversation: ConversationId) -> None:
        await self._service.send("DELETE", f"/conversations/{conversation}", person=person)

    async def accept_turn(self, person: PersonId, new: NewTurn) -> AcceptedTurn:
        return await self._service.ask(AcceptedTurn, "POST", "/turns", person=person, body=new)

    async def turn(self, person: PersonId, turn: TurnId) -> Turn:
        return await self._service.ask(Turn, "GET", f"/turns/{turn}", person=person)

    async def stop_turn(self, person: PersonId, turn: TurnId) -> Turn:
        return await self._service.ask(Turn, "POST", f"/turns/{turn}/stop", person=person)
