"""Recording a model switch: its start when somebody picks another model, its end with the first turn that used it."""

from datetime import UTC, datetime
from typing import Any

from tracking.model_switches import write_completion, write_start
from tracking.usage_calls import context_tokens
from wire.contracts.jobs import SwitchCompleted, SwitchReason, SwitchStarted
from wire.contracts.money import Price, money_text
from wire.contracts.tracking import SwitchEstimate
from wire.database import Database
from wire.ids import ConversationId, PersonId, SwitchId, new_id
from wire.telemetry.profiling import profile, profiling_span


@profile(tags={"operation": "model_switch", "phase": "start"})
async def track_model_switch(
    database: Database,
    session_id: ConversationId,
    from_model: str,
    to_model: str,
    tracking_id: SwitchId | None = None,
    metadata: dict[str, Any] | None = None,
    *,
    owner: PersonId,
    reason: SwitchReason = "user",
    started_at: datetime | None = None,
) -> SwitchId:
    """The switch's start is recorded, under a new id when it comes without one. The same again changes nothing.

    Raises:
        SwitchConflict: the id is another switch's; nothing was changed.
    """
    start = SwitchStarted(
        tracking_id=tracking_id or new_id(),
        session_id=session_id,
        owner_id=owner,
        from_model=from_model,
        to_model=to_model,
        reason=reason,
        started_at=started_at or datetime.now(UTC),
        metadata=metadata or {},
    )
    with profiling_span("DB Insert Model Transition"):
        async with database.transaction() as connection:
            await write_start(connection, start)
    return SwitchId(start.tracking_id)


@profile(tags={"operation": "model_switch", "phase": "complete"})
async def complete_model_switch(database: Database, end: SwitchCompleted) -> None:
    """The switch has its outcome, whether its start has come yet or not. The first outcome stays.

    Raises:
        SwitchConflict: the id is another switch's; nothing was changed.
    """
    async with database.transaction() as connection:
        await write_completion(connection, end)


async def switch_estimate(
    database: Database, owner: PersonId, session: ConversationId, *, to_price: Price | None
) -> SwitchEstimate:
    """What the new model reads again and what that costs, as if nothing of it were cached."""
    async with database.transaction() as connection:
        tokens = await context_tokens(connection, owner, session)
    if tokens is None or to_price is None:
        return SwitchEstimate(context_tokens=tokens, cost_usd=None)
    cost = to_price.cost_of(input_tokens=tokens, cached_tokens=0, output_tokens=0)
    return SwitchEstimate(context_tokens=tokens, cost_usd=money_text(cost))
