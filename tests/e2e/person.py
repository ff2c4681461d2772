"""A person with an HTTP client: what a browser or a program does, each act one call."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from parts.event_stream import TurnEvent, TurnReader, events_of
from parts.waiting import until

STREAM_TIMEOUT_S = 45.0
ENDED = ("complete", "failed", "stopped")


class OpenTurn:
    """A turn's stream under way: read as far as a test wants it."""

    def __init__(self, response: httpx.Response, reader: TurnReader) -> None:
        self.response = response
        self.reader = reader
        self._events = events_of(response)

    async def read_until(self, is_there: Callable[[TurnReader], object]) -> TurnReader:
        """Reads until the condition holds.

        Raises:
            AssertionError: the stream ended, or time was up, before it did; shows what came.
        """
        try:
            async with asyncio.timeout(STREAM_TIMEOUT_S):
                while not is_there(self.reader):
                    self.reader.take(await anext(self._events))
        except (TimeoutError, StopAsyncIteration) as error:
            raise AssertionError(f"{type(error).__name__} after {self.reader}") from error
        return self.reader

    async def read_to_end(self) -> TurnReader:
        """The terminal event has come, and the server has closed the stream after it."""
        await self.read_until(lambda reader: reader.end)
        async with asyncio.timeout(STREAM_TIMEOUT_S):
            late: list[TurnEvent] = [event async for event in self._events]
        assert late == [], f"after the end came {late}"
        return self.reader


class Person:
    def __init__(self, http: httpx.AsyncClient, name: str) -> None:
        self.http = http
        self.name = name

    async def new_conversation(self, model: str | None = None) -> str:
        response = await self.http.post("/api/conversations", json={} if model is None else {"model": model})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    async def conversation(self, conversation: str) -> dict[str, Any]:
        return await self._get(f"/api/conversations/{conversation}")

    async def messages(self, conversation: str) -> list[tuple[str, str]]:
        """`(role, text)` of each message, oldest first."""
        found = await self.conversation(conversation)
        return [(message["role"], message["text"]) for message in found["messages"]]

    @asynccontextmanager
    async def ask(
        self, conversation: str, text: str, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> AsyncGenerator[OpenTurn]:
        """The stream that answers a message."""
        path = f"/api/conversations/{conversation}/turns"
        async with self.http.stream("POST", path, json={"text": text, **fields}, headers=headers) as response:
            yield OpenTurn(response, TurnReader())

    async def answer(
        self, conversation: str, text: str, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> TurnReader:
        """Asks and reads to the end."""
        async with self.ask(conversation, text, headers=headers, **fields) as turn:
            return await turn.read_to_end()

    async def submit(
        self, conversation: str, text: str, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> str:
        """Asks without reading: the turn's id."""
        response = await self.http.post(
            f"/api/conversations/{conversation}/turns",
            json={"text": text, **fields},
            headers={"Accept": "application/json", **(headers or {})},
        )
        assert response.status_code == 202, response.text
        return str(response.json()["turn_id"])

    @asynccontextmanager
    async def follow(
        self, turn: str, *, reader: TurnReader | None = None, last_event_id: str | None = None
    ) -> AsyncGenerator[OpenTurn]:
        """Attaches to a turn's events; with a reader of before and its last id, it goes on."""
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        async with self.http.stream("GET", f"/api/turns/{turn}/events", headers=headers) as response:
            yield OpenTurn(response, reader or TurnReader())

    async def turn(self, turn: str) -> dict[str, Any]:
        return await self._get(f"/api/turns/{turn}")

    async def ended_turn(self, turn: str, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """The turn once it has ended."""

        async def found() -> dict[str, Any] | None:
            state = await self.turn(turn)
            return state if state["state"] in ENDED else None

        return await until(found, f"turn {turn} has ended", timeout_s=timeout_s)

    async def assert_saved(self, conversation: str, answer: TurnReader) -> None:
        """What a reader has of an answer is what is kept of it."""
        assert answer.turn is not None
        assert (await self.turn(answer.turn["turn_id"]))["text"] == answer.text
        assert (await self.messages(conversation))[-1] == ("assistant", answer.text)

    async def stop(self, turn: str) -> httpx.Response:
        return await self.http.post(f"/api/turns/{turn}/stop")

    async def switch(self, conversation: str, model: str) -> httpx.Response:
        return await self.http.post(f"/api/conversations/{conversation}/model", json={"model": model})

    async def usage(self, conversation: str) -> dict[str, Any]:
        return await self._get(f"/api/conversations/{conversation}/usage")

    async def counted(self, conversation: str, calls: int, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """The conversation's usage once that many provider calls are in it."""

        async def found() -> dict[str, Any] | None:
            usage = await self.usage(conversation)
            return usage if usage["total"]["calls"] >= calls else None

        return await until(found, f"{calls} calls of {conversation} are counted", timeout_s=timeout_s)

    async def _get(self, path: str) -> Any:
        response = await self.http.get(path)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
        return response.json()
