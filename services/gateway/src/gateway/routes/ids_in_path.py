"""Ids in addresses. What can't be an id is answered as an unknown one is.

Coroutines although they wait for nothing: FastAPI runs plain functions in threads.
"""

import re
from typing import Annotated

from fastapi import Depends

from wire.ids import ConversationId, TurnId
from wire.problems import NotFound

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


async def _conversation(conversation_id: str) -> ConversationId:
    if UUID.fullmatch(conversation_id) is None:
        raise NotFound("conversation")
    return ConversationId(conversation_id)


async def _turn(turn_id: str) -> TurnId:
    if UUID.fullmatch(turn_id) is None:
        raise NotFound("turn")
    return TurnId(turn_id)


ConversationInPath = Annotated[ConversationId, Depends(_conversation)]
TurnInPath = Annotated[TurnId, Depends(_turn)]
