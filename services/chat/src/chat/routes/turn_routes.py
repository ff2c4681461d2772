"""`/turns`: accept one, read it, stop it."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from redis.asyncio import Redis

from chat.accept_turn import Accepting, accept_turn
from chat.read_turn import read_turn
from chat.stop_turn import stop_turn
from wire.contracts.chat import AcceptedTurn, NewTurn, Turn, UuidText
from wire.ids import TurnId
from wire.service_tokens import Caller

TurnPath = Annotated[UuidText, Path(alias="turn_id")]


def turn_routes(accepting: Accepting, redis: Redis, caller: Callable[..., Awaitable[Caller]]) -> APIRouter:
    router = APIRouter()

    @router.post("/turns", status_code=202)
    async def accept(new: NewTurn, who: Annotated[Caller, Depends(caller)]) -> AcceptedTurn:
        return await accept_turn(accepting, who.person, new)

    @router.get("/turns/{turn_id}")
    async def read(turn: TurnPath, who: Annotated[Caller, Depends(caller)]) -> Turn:
        return await read_turn(accepting.database, who.person, TurnId(turn))

    @router.post("/turns/{turn_id}/stop")
    async def stop(turn: TurnPath, who: Annotated[Caller, Depends(caller)]) -> Turn:
        return await stop_turn(accepting.database, redis, who.person, TurnId(turn))

    return router
