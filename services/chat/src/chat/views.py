"""Rows as the contracts show them."""

from typing import Any

from sqlalchemy import Row

from wire.contracts.chat import Conversation, Message, Turn, TurnSummary


def conversation_view(row: Row[Any]) -> Conversation:
    return Conversation.model_validate(_mapping(row))


def turn_summary(row: Row[Any]) -> TurnSummary:
    return TurnSummary.model_validate(_mapping(row))


def turn_view(row: Row[Any], text: str, *, place: int | None = None) -> Turn:
    return Turn.model_validate({**_mapping(row), "text": text, "place": place})


def message_view(row: Row[Any], turn: Row[Any] | None) -> Message:
    return Message.model_validate({**_mapping(row), "turn": None if turn is None else turn_summary(turn)})


def answer_under_way(turn: Row[Any]) -> Message:
    """The message that a turn is going to give, with its text so far."""
    return Message(
        id=turn.id,
        parent_id=turn.person_message_id,
        role="assistant",
        text=turn.partial_text,
        model=turn.model,
        created_at=turn.created_at,
        turn=turn_summary(turn),
    )


def _mapping(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)  # pyright: ignore[reportPrivateUsage]  public in spite of its name
