"""Chat and tracking on real sockets, with what the gateway asks of them and nothing behind it.

A test puts turns and conversations in, takes the service away with `stop` and brings it back with `start`. Requests are
remembered. Tokens are checked as the real services check them.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wire.contracts.chat import AcceptedTurn, Model, ModelList, Turn
from wire.contracts.tracking import SessionUsage, SwitchEstimate, TrackedSwitch, UsageReport, UsageTotal
from wire.problems import MEDIA_TYPE, NotFound, Problem, problem_body
from wire.service_tokens import Caller, read_token

from .turns import NOON

SERVICE_KEY = "a key that only the tests of this folder share"
EVENT_ID = "e" * 32
"""Of the error that chat raises on purpose."""
NOTHING = UsageTotal(
    calls=0,
    prompt_tokens=0,
    completion_tokens=0,
    total_tokens=0,
    cached_tokens=0,
    reasoning_tokens=0,
    cost_usd=None,
    unpriced_calls=0,
)


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    person: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass(slots=True)
class FakeService:
    """What both have: they check the caller, remember what was asked, and object when a test says so."""

    audience: str
    asked: list[Asked] = field(default_factory=list[Asked])
    objection: Problem | None = None
    """Answered to everything while it is set."""

    async def caller(self, request: Request) -> Caller:
        token = request.headers["authorization"].removeprefix("Bearer ")
        caller = read_token(SERVICE_KEY, token, audience=self.audience)
        body = await request.body()
        self.asked.append(
            Asked(
                method=request.method,
                path=request.url.path,
                person=caller.person,
                query=dict(request.query_params),
                body=orjson.loads(body) if body else None,
                headers=dict(request.headers),
            )
        )
        if self.objection is not None:
            raise self.objection
        return caller

    def last(self, method: str, path: str) -> Asked:
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)][-1]


@dataclass(slots=True)
class FakeChat(FakeService):
    audience: str = "chat"
    turns: dict[str, Turn] = field(default_factory=dict[str, Turn])
    owners: dict[str, str] = field(default_factory=dict[str, str])
    """Of conversations and turns, by their ids."""
    next_turn: Turn | None = None
    """What the next message gets as its turn."""
    model: str = "alpha"
    """Of every conversation."""
    stopped: list[str] = field(default_factory=list[str])
    ready: dict[str, Any] = field(default_factory=lambda: {"status": "ready", "version": "0.1.0"})

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/models", self.models),
                Route("/turns", self.accept, methods=["POST"]),
                Route("/turns/{id}", self.read),
                Route("/turns/{id}/stop", self.stop, methods=["POST"]),
                Route("/conversations", self.conversations, methods=["GET", "POST"]),
                Route("/conversations/{id}", self.conversation, methods=["GET", "PATCH", "DELETE"]),
                Route("/readyz", self.readyz),
                Route("/sentry-test", self.fail),
            ],
            exception_handlers={Problem: _answer_problem},
        )

    def own(self, person: str, turn: Turn) -> Turn:
        self.turns[turn.id] = turn
        self.owners[turn.id] = self.owners[turn.conversation_id] = person
        return turn

    async def readyz(self, _request: Request) -> Response:
        return JSONResponse(self.ready)

    async def fail(self, _request: Request) -> Response:
        raise self.objection or Problem(500, "internal_error", "Something went wrong here.", event_id=EVENT_ID)

    async def models(self, request: Request) -> Response:
        await self.caller(request)
        models = [Model(id="alpha", provider="scripted"), Model(id="org/beta", provider="scripted")]
        return _json(ModelList(default="alpha", models=models))

    async def accept(self, request: Request) -> Response:
        caller = await self.caller(request)
        assert self.next_turn is not None, "the test names the turn"
        turn = self.own(caller.person, self.next_turn)
        return _json(AcceptedTurn(**turn.model_dump()), status=202)

    async def read(self, request: Request) -> Response:
        return _json(self._turn(await self.caller(request), request))

    async def stop(self, request: Request) -> Response:
        turn = self._turn(await self.caller(request), request)
        self.stopped.append(turn.id)
        return _json(turn)

    async def conversations(self, request: Request) -> Response:
        caller = await self.caller(request)
        if request.method == "GET":
            return JSONResponse({"conversations": [], "next": None})
        return JSONResponse(self._conversation(caller.person), status_code=201)

    async def conversation(self, request: Request) -> Response:
        caller = await self.caller(request)
        if self.owners.get(request.path_params["id"]) != caller.person:
            raise NotFound("conversation")
        if request.method == "DELETE":
            return Response(status_code=204)
        return JSONResponse({**self._conversation(request.path_params["id"]), "messages": []})

    def _turn(self, caller: Caller, request: Request) -> Turn:
        turn = self.turns.get(request.path_params["id"])
        if turn is None or self.owners[turn.id] != caller.person:
            raise NotFound("turn")
        return turn

    def _conversation(self, conversation_id: str) -> dict[str, Any]:
        moment = NOON.isoformat()
        return {
            "id": conversation_id,
            "title": "",
            "model": self.model,
            "created_at": moment,
            "updated_at": moment,
        }


@dataclass(slots=True)
class FakeTracking(FakeService):
    audience: str = "tracking"

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/switches", self.switch, methods=["POST"]),
                Route("/usage", self.usage),
                Route("/sessions/{id}/usage", self.session),
                Route("/readyz", self.readyz),
            ],
            exception_handlers={Problem: _answer_problem},
        )

    async def readyz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ready", "version": "0.1.0"})

    async def switch(self, request: Request) -> Response:
        await self.caller(request)
        asked = self.asked[-1].body
        return _json(
            TrackedSwitch(
                tracking_id=asked["tracking_id"],
                from_model=asked["from_model"],
                to_model=asked["to_model"],
                estimate=SwitchEstimate(context_tokens=12, cost_usd="0.001"),
            )
        )

    async def usage(self, request: Request) -> Response:
        await self.caller(request)
        return _json(UsageReport(rows=[], total=NOTHING))

    async def session(self, request: Request) -> Response:
        await self.caller(request)
        return _json(SessionUsage(session_id=request.path_params["id"], models=[], switches=[], total=NOTHING))


async def _answer_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return JSONResponse(problem_body(error), status_code=error.status, headers=error.headers, media_type=MEDIA_TYPE)


def _json(model: Any, *, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status_code=status, media_type="application/json")
