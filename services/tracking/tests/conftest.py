"""A real PostgreSQL with the migrated ledger, a real Valkey, and the HTTP process's app on a real socket.

All tests share them. Each takes ids of its own, so none sees another's rows.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from local.ports import free_port
from local.stack import Stack
from parts.servers import databases
from parts.waiting import until
from tracking.app import create_app
from tracking.migrate import MIGRATIONS
from tracking.settings import TrackingSettings
from wire.contracts.jobs import SwitchCompleted, SwitchStarted, UsageEvent
from wire.contracts.money import Price
from wire.database import Database
from wire.health import Health
from wire.ids import PersonId, TurnId, call_id, new_id
from wire.migrations import migrate
from wire.serve import serve_beside
from wire.service_tokens import ServiceAuth

SERVICE_KEY = "a key that only the tests of this folder share"
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

Make = Callable[..., Any]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with databases(tmp_path_factory.mktemp("state")) as stack:
        yield stack


@pytest.fixture(scope="session")
def database_url(stack: Stack) -> str:
    url = stack.database_url("tracking")
    with ThreadPoolExecutor(1) as thread:  # migrations bring an event loop of their own
        thread.submit(migrate, "tracking", MIGRATIONS, url).result()
    return url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, application_name="tests")
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def http(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running app. Sign its requests with `signed`."""
    settings = TrackingSettings(service_key=SecretStr(SERVICE_KEY), database_url=SecretStr(database_url))
    async with serving(settings) as client:
        yield client


@pytest.fixture(scope="session")
async def http_without_database() -> AsyncIterator[httpx.AsyncClient]:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    settings = TrackingSettings(service_key=SecretStr(SERVICE_KEY), database_url=SecretStr(nowhere))
    async with serving(settings) as client:
        yield client


@asynccontextmanager
async def serving(settings: TrackingSettings) -> AsyncGenerator[httpx.AsyncClient]:
    """The app listens while the block runs."""
    port = free_port()

    async def answers(client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get("/healthz")).is_success
        except httpx.ConnectError:
            return False

    async with (
        serve_beside(create_app(settings, Health("tracking")), host="127.0.0.1", port=port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        await until(lambda: answers(client), "the app answers")
        yield client


@pytest.fixture(scope="session")
def service_key() -> str:
    return SERVICE_KEY


@pytest.fixture(scope="session")
def signed() -> Callable[..., ServiceAuth]:
    """Signs as the gateway would, for a person."""

    def sign(person: str, *, audience: str = "tracking", key: str = SERVICE_KEY) -> ServiceAuth:
        return ServiceAuth(key, process="gateway", audience=audience, person=PersonId(person))

    return sign


@pytest.fixture
def person() -> PersonId:
    return PersonId(new_id())


@pytest.fixture
def session() -> str:
    return new_id()


@pytest.fixture
def call(person: PersonId, session: str) -> Make:
    """Makes a call of the person in the session: 100 tokens read, 20 of them from a cache, and 10 written."""

    def make(**changes: Any) -> UsageEvent:
        turn = TurnId(new_id())
        started_at = changes.get("started_at", NOON)
        fields: dict[str, Any] = {
            "event_id": call_id(turn, 1, 0),
            "turn_id": turn,
            "session_id": session,
            "owner_id": person,
            "attempt": 1,
            "call": 0,
            "state": "complete",
            "model": "alpha",
            "provider": "scripted",
            "input_tokens": 100,
            "cached_tokens": 20,
            "output_tokens": 10,
            "token_source": "reported",
            "price": Price.model_validate({"input": "0.15", "cached_input": "0.075", "output": "0.60"}),
            "started_at": started_at,
            "ended_at": started_at + timedelta(seconds=2),
        }
        return UsageEvent.model_validate(fields | changes)

    return make


@pytest.fixture
def switch(person: PersonId, session: str) -> Callable[[], tuple[SwitchStarted, SwitchCompleted]]:
    """Makes both halves of a new switch from alpha to beta."""

    def make() -> tuple[SwitchStarted, SwitchCompleted]:
        both: dict[str, Any] = {
            "tracking_id": new_id(),
            "session_id": session,
            "owner_id": person,
            "from_model": "alpha",
            "to_model": "beta",
        }
        start = SwitchStarted(**both, started_at=NOON, metadata={"asked_by": "picker"})
        end = SwitchCompleted(
            **both,
            outcome="completed",
            turn_id=new_id(),
            started_at=NOON + timedelta(milliseconds=40),
            completed_at=NOON + timedelta(seconds=5),
        )
        return start, end

    return make
