"""A turn as it stands, for whoever follows it without Redis or comes late."""

from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.stores import conversation_store, turn_store
from chat.views import turn_view
from wire.contracts.chat import ENDED_STATES, Turn
from wire.database import Database
from wire.ids import MessageId, PersonId, TurnId
from wire.problems import NotFound


async def read_turn(database: Database, owner: PersonId, turn: TurnId) -> Turn:
    """Raises:
    NotFound: unknown, or somebody else's.
    """
    async with database.transaction() as connection:
        row = await turn_store.find_turn(connection, turn, owner)
        if row is None:
            raise NotFound("turn")
        text = await read_text(connection, row)
        place = await turn_store.place_in_queue(connection, row) if row.state == "queued" else None
    return turn_view(row, text, place=place)


async def read_text(connection: AsyncConnection, turn: Row[Any]) -> str:
    """The whole answer of a turn that has ended, the last checkpoint of one under way."""
    if turn.state not in ENDED_STATES:
        return turn.partial_text
    message = await conversation_store.find_message(connection, MessageId(turn.id), turn.conversation_id)
    return "" if message is None else message.text
