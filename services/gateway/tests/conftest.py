"""A real PostgreSQL with the gateway's migrated tables, a real Valkey, and the gateway's app on a real socket.

Chat and tracking are stand-ins on real sockets (`fake_services`), fresh for each test that asks for them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from gateway.app import Drain, create_app
from gateway.migrate import MIGRATIONS
from gateway.settings import GatewaySettings
from gateway.turn_streams import Entry
from local.ports import free_port
from local.stack import Stack
from parts.background_server import BackgroundServer
from parts.servers import databases
from parts.waiting import until
from wire.database import Database
from wire.health import Health
from wire.ids import TurnId
from wire.migrations import migrate
from wire.queue import connect
from wire.redis_keys import turn_stream
from wire.serve import serve_beside
from wire.turn_events import DATA_FIELD, KIND_FIELD, stream_id

from .fake_services import SERVICE_KEY, FakeChat, FakeTracking


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with databases(tmp_path_factory.mktemp("state")) as stack:
        yield stack


@pytest.fixture(scope="session")
def database_url(stack: Stack) -> str:
    url = stack.database_url("gateway")
    with ThreadPoolExecutor(1) as thread:  # migrations bring an event loop of their own
        thread.submit(migrate, "gateway", MIGRATIONS, url).result()
    return url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, application_name="tests")
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    redis = connect(stack.url("valkey"))
    yield redis
    await redis.aclose()


@dataclass(frozen=True, slots=True)
class Gateway:
    """The running app and what stands around it."""

    http: httpx.AsyncClient
    url: str
    chat: FakeChat
    tracking: FakeTracking
    chat_server: BackgroundServer
    tracking_server: BackgroundServer
    redis: Redis
    drain: Drain

    async def publish(self, turn_id: str, *entries: Entry) -> None:
        """What chat-worker would have written into the turn's stream."""
        for entry in entries:
            fields: Any = {KIND_FIELD: entry.kind, DATA_FIELD: entry.data}
            await self.redis.xadd(turn_stream(TurnId(turn_id)), fields, id=stream_id(*entry.id))


@pytest.fixture
async def gateway(stack: Stack, database_url: str, redis: Redis, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving(stack, database_url, redis, static_dir=tmp_path) as gateway:
        yield gateway


@asynccontextmanager
async def serving(stack: Stack, database_url: str, redis: Redis, **fields: Any) -> AsyncGenerator[Gateway]:
    """The gateway listens while the block runs; `fields` are settings of its own."""
    chat, tracking = FakeChat(), FakeTracking()
    port = free_port()
    with BackgroundServer(chat.app()) as chat_server, BackgroundServer(tracking.app()) as tracking_server:
        known: dict[str, Any] = {
            "service_key": SecretStr(SERVICE_KEY),
            "database_url": SecretStr(database_url),
            "redis_url": SecretStr(stack.url("valkey")),
            "port": port,
            "chat_url": chat_server.url,
            "chat_worker_url": chat_server.url,
            "tracking_url": tracking_server.url,
            "tracking_worker_url": tracking_server.url,
        }
        health = Health("gateway")
        drain = Drain(health)
        app = create_app(GatewaySettings(**(known | fields)), health, drain)
        url = f"http://127.0.0.1:{port}"
        async with (
            serve_beside(app, host="127.0.0.1", port=port),
            httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http,
        ):
            await until(lambda: _answers(http), "the gateway answers")
            yield Gateway(http, url, chat, tracking, chat_server, tracking_server, redis, drain)


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False
