"""Ids that cross a boundary. All are UUID strings but `CallId`, which says which provider call of which turn."""

from typing import NewType
from uuid import uuid4

PersonId = NewType("PersonId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)
TurnId = NewType("TurnId", str)
SwitchId = NewType("SwitchId", str)
CallId = NewType("CallId", str)
"""`{turn}:{attempt}:{call}`: the event id under which the ledger counts a provider call once."""


def new_id() -> str:
    return str(uuid4())


def call_id(turn: TurnId, attempt: int, call: int) -> CallId:
    return CallId(f"{turn}:{attempt}:{call}")
