"""What a running gateway is made of, and how a route gets at it."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from gateway.chat_client import ChatClient
from gateway.follow_turn import Followable
from gateway.identify import Identify
from gateway.provoke_error import ErrorProvoker
from gateway.settings import GatewaySettings
from gateway.system_health import SystemHealth
from gateway.tracking_client import TrackingClient
from gateway.tunnel import Tunnel
from gateway.turn_streams import TurnStreams
from wire.ids import PersonId
from wire.telemetry.spans import set_person


@dataclass(frozen=True, slots=True)
class Parts:
    settings: GatewaySettings
    identify: Identify
    chat: ChatClient
    tracking: TrackingClient
    streams: TurnStreams
    system_health: SystemHealth
    error_provoker: ErrorProvoker
    tunnel: Tunnel | None
    """`None` without a DSN: there is nowhere to send to."""
    errands: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """What goes on after its request is over, such as stopping a turn that nobody waits for."""

    @property
    def followable(self) -> Followable:
        return Followable(self.chat, self.streams)

    def run_errand(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.errands.add(task)
        task.add_done_callback(self.errands.discard)


async def parts_of(request: Request) -> Parts:
    """A coroutine although it waits for nothing: FastAPI runs plain functions in threads."""
    return cast(Parts, request.state.parts)


PartsOf = Annotated[Parts, Depends(parts_of)]


async def person_of(request: Request, parts: PartsOf) -> PersonId:
    """Who is asking. Raises what `Identify.person` raises."""
    person = await parts.identify.person(request.headers.get("authorization"))
    set_person(person)
    return person


Person = Annotated[PersonId, Depends(person_of)]
