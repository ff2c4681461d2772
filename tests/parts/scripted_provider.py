"""An OpenAI-compatible provider on a real socket that answers as a test tells it.

    with ScriptedProvider(models=["scripted"], api_key="sk-…") as provider:
        provider.on("Say hello", says("Hello there"))
        provider.on("Try twice", plan(Refuse(500)), says("The second time"))
        …
        [call] = provider.calls_for("Say hello")

A request is known by the text of its last message of a person: the plans told for that text are taken in turn, the last
one for good. Nothing told: the provider echoes. It logs every request, so that a test can prove what history, which
headers and how many tokens went over the wire.
"""

import threading
from collections.abc import Sequence
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parts.background_server import HOST, BackgroundServer
from parts.plans import Plan, Refuse, plan, says, text_of
from parts.provider_answer import CREATED, Answer, Call


class ScriptedProvider:
    def __init__(self, *, models: Sequence[str], api_key: str | None = None, host: str = HOST) -> None:
        self._models = list(models)
        self._api_key = api_key
        self._plans: dict[str, list[Plan]] = {}
        self._calls: list[Call] = []
        self._lock = threading.Lock()
        routes = [
            Route("/v1/models", self._list_models, methods=["GET"]),
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
        ]
        self._server = BackgroundServer(Starlette(routes=routes), host=host)

    @property
    def base_url(self) -> str:
        return f"{self._server.url}/v1"

    def on(self, prompt: str, *plans: Plan) -> None:
        """From now on requests whose last message of a person is `prompt` are answered by these plans in turn."""
        with self._lock:
            self._plans[prompt] = list(plans)

    @property
    def calls(self) -> list[Call]:
        """Every completion asked for so far, oldest first."""
        with self._lock:
            return list(self._calls)

    def calls_for(self, prompt: str) -> list[Call]:
        return [call for call in self.calls if call.prompt == prompt]

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """The port is closed and what was being answered is broken off."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    async def _list_models(self, request: Request) -> Response:
        if not self._is_allowed(request):
            return _wrong_key()
        models = [{"id": name, "object": "model", "created": CREATED, "owned_by": "test"} for name in self._models]
        return JSONResponse({"object": "list", "data": models})

    async def _complete(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        call, told = self._note(request, body)
        if not self._is_allowed(request):
            call.outcome = "refused"
            return _wrong_key()
        if call.model not in self._models:
            told = plan(Refuse(404, f"The model {call.model} does not exist.", code="model_not_found"))
        return await Answer(request, call, told).respond()

    def _note(self, request: Request, body: dict[str, Any]) -> tuple[Call, Plan]:
        said = [text_of(m.get("content")) for m in body.get("messages", []) if m.get("role") == "user"]
        prompt = said[-1] if said else ""
        with self._lock:
            call = Call(
                number=len(self._calls) + 1,
                path=request.url.path,
                headers=dict(request.headers),
                body=body,
                prompt=prompt,
            )
            self._calls.append(call)
            plans = self._plans.get(prompt)
            if not plans:
                return call, says(f"You said: {prompt}")
            return call, plans.pop(0) if len(plans) > 1 else plans[0]

    def _is_allowed(self, request: Request) -> bool:
        return self._api_key is None or request.headers.get("authorization") == f"Bearer {self._api_key}"


def _wrong_key() -> Response:
    error = {"message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key"}
    return JSONResponse({"error": error}, status_code=401)
