"""Reports: sums over a person's calls, by model, conversation, day (UTC) or person."""

from typing import Any

from sqlalchemy import Row

from tracking.model_switches import switches_of_session
from tracking.usage_calls import Period, summed_calls
from wire.contracts.money import money_text
from wire.contracts.tracking import (
    GroupBy,
    ModelUsage,
    SessionUsage,
    SwitchRecord,
    UsageReport,
    UsageRow,
    UsageTotal,
)
from wire.database import Database
from wire.ids import ConversationId, PersonId
from wire.telemetry.profiling import profile
from wire.telemetry.spans import span

GROUP_FIELDS: dict[GroupBy, str] = {
    "model": "model",
    "conversation": "conversation_id",
    "day": "day",
    "person": "person_id",
}
SUMS = ("calls", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


async def usage_report(database: Database, owner: PersonId, *, group_by: GroupBy, period: Period) -> UsageReport:
    """The owner's calls that started in `period`, one row a group in the groups' order."""
    with span("function", "usage_report"):
        async with database.transaction() as connection:
            groups, total = await summed_calls(connection, owner, group_by=group_by, period=period)
    field = GROUP_FIELDS[group_by]
    return UsageReport(
        rows=[UsageRow(**_totals(row), **{field: row.group}) for row in groups], total=UsageTotal(**_totals(total))
    )


@profile(tags={"operation": "model_usage", "phase": "report"})
async def get_model_usage_by_session(database: Database, owner: PersonId, session: ConversationId) -> SessionUsage:
    """A conversation's account. One that is unknown, or somebody else's, is an empty one."""
    async with database.transaction() as connection:
        models, total = await summed_calls(connection, owner, group_by="model", period=Period(), session=session)
        switches = await switches_of_session(connection, owner, session)
    return SessionUsage(
        session_id=session,
        models=[ModelUsage(**_totals(row), model=row.group) for row in models],
        switches=[SwitchRecord.model_validate(row, from_attributes=True) for row in switches],
        total=UsageTotal(**_totals(total)),
    )


def _totals(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in SUMS} | {
        "cost_usd": None if row.cost_usd is None else money_text(row.cost_usd),
        "unpriced_calls": row.unpriced_calls,
    }
