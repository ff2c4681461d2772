"""What was used and what it cost."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.parts import PartsOf, Person
from gateway.routes.ids_in_path import ConversationInPath
from wire.contracts.tracking import GroupBy, SessionUsage, UsageReport

MAX_MOMENT_CHARS = 40

router = APIRouter(prefix="/api")


@router.get("/usage")
async def usage(
    parts: PartsOf,
    person: Person,
    group_by: GroupBy = "model",
    start: Annotated[str | None, Query(alias="from", max_length=MAX_MOMENT_CHARS)] = None,
    end: Annotated[str | None, Query(alias="to", max_length=MAX_MOMENT_CHARS)] = None,
) -> UsageReport:
    """`from` and `to` are dates or times; tracking reads them and says what is wrong with one."""
    given = {"group_by": group_by, "from": start, "to": end}
    return await parts.tracking.usage(person, {name: value for name, value in given.items() if value is not None})


@router.get("/conversations/{conversation_id}/usage")
async def conversation_usage(parts: PartsOf, person: Person, conversation: ConversationInPath) -> SessionUsage:
    """Chat knows whose conversation it is: tracking can't tell an unknown one from one without calls."""
    await parts.chat.conversation(person, conversation)
    return await parts.tracking.get_model_usage_by_session(person, conversation)
