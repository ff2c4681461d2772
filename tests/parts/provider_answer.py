"""One answer of the scripted provider: a plan's steps played in OpenAI's shapes, streamed or whole."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from parts.plans import (
    Break,
    CallTool,
    Finish,
    Garbage,
    Hang,
    Plan,
    Reason,
    Refuse,
    Say,
    Step,
    Wait,
    prompt_tokens,
    tokens_of,
)

CREATED = 1_700_000_000
LOOK_EVERY_S = 0.005

Outcome = Literal["open", "complete", "refused", "broken", "abandoned"]


@dataclass(slots=True)
class Call:
    """One request as the provider saw it, and what it sent back so far."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    prompt: str
    """The text of the last message of a person."""
    text: str = ""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    outcome: Outcome = "open"
    tool_calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def model(self) -> str:
        return str(self.body.get("model"))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body.get("messages", [])

    @property
    def prompt_tokens(self) -> int:
        return prompt_tokens(self.messages)

    @property
    def usage(self) -> dict[str, Any]:
        """What the usage says that ends a finished answer."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }


class _Refused(Exception):
    def __init__(self, step: Refuse) -> None:
        super().__init__(step.message)
        self.step = step


class _ConnectionBroken(Exception):
    """Raised out of the app, so that the server drops the connection without ending the body."""


class _CallerGone(Exception):
    pass


class Answer:
    def __init__(self, request: Request, call: Call, plan: Plan) -> None:
        self._request = request
        self._call = call
        self._plan = plan
        self._finish_reason = "stop"
        call.cached_tokens = plan.cached_tokens

    async def respond(self) -> Response:
        steps = list(self._plan.steps)
        try:
            while steps and isinstance(steps[0], Wait | Hang | Refuse | Break):
                await self._take_silent_step(steps.pop(0))
        except _Refused as refused:
            self._call.outcome = "refused"
            return JSONResponse({"error": _error_object(refused.step)}, status_code=refused.step.status)
        except _CallerGone:
            self._call.outcome = "abandoned"
            return Response(status_code=499)
        except _ConnectionBroken:
            self._call.outcome = "broken"
            raise
        if self._call.body.get("stream"):
            return StreamingResponse(self._stream(steps), media_type="text/event-stream")
        return await self._whole(steps)

    async def _stream(self, steps: list[Step]) -> AsyncGenerator[bytes]:
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            async for delta in self._deltas(steps):
                yield delta if isinstance(delta, bytes) else self._chunk(delta)
            yield self._chunk({}, finish_reason=self._finish_reason)
            if self._plan.reports_usage and _wants_usage(self._call.body):
                yield _frame({**self._head("chat.completion.chunk"), "choices": [], "usage": self._call.usage})
            self._call.outcome = "complete"
            yield b"data: [DONE]\n\n"
        except _Refused as refused:
            self._call.outcome = "refused"
            yield _frame({"error": _error_object(refused.step)})
        except _ConnectionBroken:
            self._call.outcome = "broken"
            raise
        except _CallerGone:
            pass
        finally:
            if self._call.outcome == "open":
                self._call.outcome = "abandoned"

    async def _whole(self, steps: list[Step]) -> Response:
        async for _delta in self._deltas(steps):
            pass
        self._call.outcome = "complete"
        message: dict[str, Any] = {"role": "assistant", "content": self._call.text}
        if self._call.tool_calls:
            message["tool_calls"] = self._call.tool_calls
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        return JSONResponse({**self._head("chat.completion"), "choices": [choice], "usage": self._call.usage})

    async def _deltas(self, steps: list[Step]) -> AsyncGenerator[dict[str, Any] | bytes]:
        """What the steps send, a delta of a message or raw bytes each; the call's record grows with it."""
        for step in steps:
            match step:
                case Say(text, pause_s):
                    for token in tokens_of(text):
                        if self._is_at_its_limit():
                            self._finish_reason = "length"
                            return
                        self._call.completion_tokens += 1
                        self._call.text += token
                        yield {"content": token}
                        await asyncio.sleep(pause_s)
                case Reason(text):
                    for token in tokens_of(text):
                        self._call.completion_tokens += 1
                        self._call.reasoning_tokens += 1
                        yield {"reasoning_content": token}
                case CallTool():
                    for delta in self._tool_call_deltas(step):
                        yield delta
                case Garbage(line):
                    yield f"{line}\n\n".encode()
                case Finish(reason):
                    self._finish_reason = reason
                case Wait() | Hang() | Refuse() | Break():
                    await self._take_silent_step(step)

    async def _take_silent_step(self, step: Step) -> None:
        match step:
            case Wait(gate):
                gate.arrivals += 1
                while not gate.is_open:
                    await self._look_for_the_caller()
            case Hang():
                while True:
                    await self._look_for_the_caller()
            case Refuse():
                raise _Refused(step)
            case _:
                raise _ConnectionBroken

    async def _look_for_the_caller(self) -> None:
        if await self._request.is_disconnected():
            raise _CallerGone
        await asyncio.sleep(LOOK_EVERY_S)

    def _is_at_its_limit(self) -> bool:
        body = self._call.body
        limit: int | None = body.get("max_completion_tokens") or body.get("max_tokens")
        return limit is not None and self._call.completion_tokens >= limit

    def _tool_call_deltas(self, step: CallTool) -> list[dict[str, Any]]:
        index = len(self._call.tool_calls)
        function = {"name": step.name, "arguments": step.arguments}
        self._call.tool_calls.append({"id": step.id, "type": "function", "function": function})
        self._call.completion_tokens += 1
        self._finish_reason = "tool_calls"
        half = len(step.arguments) // 2
        first = {"id": step.id, "type": "function", "function": {"name": step.name, "arguments": step.arguments[:half]}}
        rest = {"function": {"arguments": step.arguments[half:]}}
        return [{"tool_calls": [{"index": index, **part}]} for part in (first, rest)]

    def _chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return _frame({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._call.number}",
            "object": kind,
            "created": CREATED,
            "model": self._call.model,
        }


def _wants_usage(body: dict[str, Any]) -> bool:
    options: dict[str, Any] = body.get("stream_options") or {}
    return bool(options.get("include_usage"))


def _error_object(step: Refuse) -> dict[str, Any]:
    return {"message": step.message, "type": step.kind, "param": None, "code": step.code}


def _frame(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"
