"""What a worker's tests need besides: connections that can be cut, the keeper of the leases, the sweep."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from chat.keep_leases import LeaseKeeper
from chat.process_chat_message import Answering
from chat.sweep import Sweep
from local.ports import free_port
from local.stack import Stack
from wire.database import Database
from wire.queue import connect


class Relay:
    """A TCP relay in front of a server, which can be cut and mended: what a server that goes away looks like."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = free_port()
        self.first_may_speak = asyncio.Event()
        """While it is not set, nothing gets through on the first connection."""
        self.first_may_speak.set()
        self._next_may_speak = self.first_may_speak

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Nobody can connect, and whoever was connected is cut off."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        may_speak, self._next_may_speak = self._next_may_speak, asyncio.Event()
        self._next_may_speak.set()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        both = {writer, far_writer}
        self._writers |= both
        await asyncio.gather(_copy(reader, far_writer, may_speak), _copy(far_reader, writer, may_speak))
        self._writers -= both


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_speak: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            await may_speak.wait()
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def relay_to(port: int) -> AsyncGenerator[Relay]:
    relay = Relay(port)
    await relay.mend()
    try:
        yield relay
    finally:
        await relay.cut()


@pytest.fixture
async def postgres_relay(stack: Stack) -> AsyncIterator[Relay]:
    async with relay_to(stack.ports["postgres"]) as relay:
        yield relay


@pytest.fixture
async def valkey_relay(stack: Stack) -> AsyncIterator[Relay]:
    async with relay_to(stack.ports["valkey"]) as relay:
        yield relay


@pytest.fixture
async def redis_by_relay(stack: Stack, valkey_relay: Relay) -> AsyncIterator[Redis]:
    url = stack.url("valkey").replace(f":{stack.ports['valkey']}/", f":{valkey_relay.port}/")
    client = connect(url)
    yield client
    await client.aclose()


@pytest.fixture
async def database_by_relay(stack: Stack, database_url: str, postgres_relay: Relay) -> AsyncIterator[Database]:
    """The same database, by a way that can be cut."""
    url = database_url.replace(f":{stack.ports['postgres']}/", f":{postgres_relay.port}/")
    database = Database(url, application_name="tests by relay")
    yield database
    await database.close()


@pytest.fixture
def keeper(answering: Answering) -> LeaseKeeper:
    return LeaseKeeper(answering.database, answering.turns)


@dataclass(slots=True)
class Tracking:
    """Tracking's side of the question which events it holds, behind the client's transport."""

    holds: set[str] = field(default_factory=set[str])
    status: int = 200
    is_away: bool = False
    questions: list[list[str]] = field(default_factory=list[list[str]])

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("refused")
        assert (request.method, request.url.path) == ("POST", "/events/held")
        ids: list[str] = orjson.loads(request.content)["ids"]
        self.questions.append(ids)
        return httpx.Response(self.status, json={"held": [one for one in ids if one in self.holds]})


@pytest.fixture
def tracking() -> Tracking:
    return Tracking()


@pytest.fixture
async def sweep(answering: Answering, redis: Redis, tracking: Tracking) -> AsyncIterator[Sweep]:
    transport = httpx.MockTransport(tracking.answer)
    async with httpx.AsyncClient(base_url="http://tracking.test", transport=transport) as client:
        yield Sweep(answering.database, redis, answering.own_queue, answering.tracking_queue, client)
