"""Tracking's HTTP edge. Every route takes a service token for `tracking`; whose rows it sees is in the token."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from tracking.held_events import held_events
from tracking.time_range import FromMoment, ToMoment
from tracking.track_model_switch import switch_estimate, track_model_switch
from tracking.usage_calls import Period
from tracking.usage_report import get_model_usage_by_session, usage_report
from wire.caller import require_caller
from wire.contracts.chat import UuidText
from wire.contracts.tracking import (
    GroupBy,
    HeldAnswer,
    HeldQuestion,
    NewSwitch,
    SessionUsage,
    TrackedSwitch,
    UsageReport,
)
from wire.database import Database
from wire.ids import ConversationId, PersonId, SwitchId
from wire.problems import Problem
from wire.service_tokens import NOBODY, Caller

AUDIENCE = "tracking"


class ReportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    group_by: GroupBy = "model"
    start: Annotated[FromMoment | None, Field(alias="from")] = None
    end: Annotated[ToMoment | None, Field(alias="to")] = None

    @field_validator("end")
    @classmethod
    def _end_follows_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        start = info.data.get("start")
        if start is not None and end is not None and end <= start:
            raise ValueError("The end must be later than the beginning.")
        return end


async def _database(request: Request) -> Database:
    return request.state.database


Ledger = Annotated[Database, Depends(_database)]


def ledger_routes(service_key: str) -> APIRouter:
    """The routes, guarded by the key that all processes share."""
    router = APIRouter()
    caller = require_caller(service_key, audience=AUDIENCE)
    person_of = _person(caller)

    @router.post("/switches")
    async def record_switch(
        switch: NewSwitch, person: Annotated[PersonId, Depends(person_of)], ledger: Ledger
    ) -> TrackedSwitch:
        session = ConversationId(switch.session_id)
        tracking_id = await track_model_switch(
            ledger,
            session,
            switch.from_model,
            switch.to_model,
            SwitchId(switch.tracking_id),
            switch.metadata,
            owner=person,
            reason=switch.reason,
        )
        return TrackedSwitch(
            tracking_id=tracking_id,
            from_model=switch.from_model,
            to_model=switch.to_model,
            estimate=await switch_estimate(ledger, person, session, to_price=switch.to_price),
        )

    @router.get("/usage")
    async def report(
        query: Annotated[ReportQuery, Query()], person: Annotated[PersonId, Depends(person_of)], ledger: Ledger
    ) -> UsageReport:
        period = Period(start=query.start, end=query.end)
        return await usage_report(ledger, person, group_by=query.group_by, period=period)

    @router.get("/sessions/{session_id}/usage")
    async def session_account(
        session_id: UuidText, person: Annotated[PersonId, Depends(person_of)], ledger: Ledger
    ) -> SessionUsage:
        return await get_model_usage_by_session(ledger, person, ConversationId(session_id))

    @router.post("/events/held", dependencies=[Depends(_sweep(caller))])
    async def held(question: HeldQuestion, ledger: Ledger) -> HeldAnswer:
        return HeldAnswer(held=await held_events(ledger, question.ids))

    return router


CallerOf = Callable[[str | None], Awaitable[Caller]]


def _person(caller_of: CallerOf) -> Callable[[Caller], Awaitable[PersonId]]:
    """A dependency that yields for whom the call is; 403 (as a problem) when it is for nobody."""

    async def person(caller: Annotated[Caller, Depends(caller_of)]) -> PersonId:
        if caller.person == NOBODY:
            raise Problem(403, "person_required", "This is answered for a person only.")
        return caller.person

    return person


def _sweep(caller_of: CallerOf) -> Callable[[Caller], Awaitable[None]]:
    """A dependency that admits calls which no person caused; 403 (as a problem) for any other."""

    async def sweep(caller: Annotated[Caller, Depends(caller_of)]) -> None:
        if caller.person != NOBODY:
            raise Problem(403, "sweep_only", "This is answered to a service's own sweep only.")

    return sweep
