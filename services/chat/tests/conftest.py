"""A real PostgreSQL with chat's migrated tables, a real Valkey, and a provider on a real socket.

All tests share them. Each takes ids of its own, so none sees another's rows; what looks at everybody's rows, such as a
sweep, asks for `empty_database` first.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import sentry_sdk
from arq.connections import ArqRedis
from pydantic import SecretStr
from redis.asyncio import Redis
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sqlalchemy import Row, Table, and_, func, select, text

from chat.accept_turn import Accepting, accept_turn
from chat.catalogue import Catalogue
from chat.conversations import create_conversation
from chat.migrate import MIGRATIONS
from chat.process_chat_message import Answering
from chat.provider.client import ProviderClients
from chat.publish_events import EventPublisher
from chat.running_turns import RunningTurns
from chat.settings import ChatSettings
from chat.tables import calls, messages, metadata, outbox, turns
from local.ports import free_port
from local.stack import Stack
from parts.scripted_provider import ScriptedProvider
from parts.servers import databases
from wire.contracts.chat import AcceptedTurn, NewConversation, NewTurn
from wire.contracts.jobs import Envelope as JobEnvelope
from wire.database import Database
from wire.ids import PersonId, TurnId, new_id
from wire.migrations import migrate
from wire.process_settings import SentrySettings
from wire.queue import Queue, connect, connect_arq
from wire.redis_keys import CHAT_QUEUE, TRACKING_QUEUE, queue_key, turn_stream
from wire.telemetry.setup import start_telemetry
from wire.turn_events import DATA_FIELD, KIND_FIELD

SERVICE_KEY = "a key that only the tests of this folder share"
PROVIDER_KEY = "sk-of-the-scripted-provider"
MODELS = """
default = "alpha"

[providers.scripted]
base_url = "{provider}"
api_key_env = "{key_variable}"

[providers.nowhere]
base_url = "http://127.0.0.1:{closed_port}/v1"

[models.alpha]
provider = "scripted"
context_window = 8192
price = {{ input = "0.15", cached_input = "0.075", output = "0.60" }}

[models.beta]
provider = "scripted"
upstream = "beta-2026"

[models.once]
provider = "scripted"
retries = 0

[models.impatient]
provider = "scripted"
idle_timeout_s = 0.2
retries = 0

[models.prefilling]
provider = "scripted"
continues_prefill = true

[models.unreachable]
provider = "nowhere"
retries = 0
"""


@pytest.fixture(autouse=True)
async def scopes_of_its_own() -> AsyncIterator[None]:
    """What a test tells Sentry of its person, its tags and its trace ends with it."""
    with sentry_sdk.isolation_scope():
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with databases(tmp_path_factory.mktemp("state")) as stack:
        yield stack


@pytest.fixture(scope="session")
def database_url(stack: Stack) -> str:
    url = stack.database_url("chat")
    with ThreadPoolExecutor(1) as thread:  # migrations bring an event loop of their own
        thread.submit(migrate, "chat", MIGRATIONS, url).result()
    return url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, application_name="tests")
    yield database
    await database.close()


@pytest.fixture
async def empty_database(database: Database) -> None:
    names = ", ".join(table.name for table in metadata.sorted_tables)
    async with database.transaction() as connection:
        await connection.execute(text(f"TRUNCATE {names}"))


@pytest.fixture(scope="session")
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    client = connect(stack.url("valkey"))
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
async def arq(stack: Stack) -> AsyncIterator[ArqRedis]:
    client = connect_arq(stack.url("valkey"))
    yield client
    await client.aclose()


@pytest.fixture
async def redis_away() -> AsyncIterator[Redis]:
    client = connect(f"redis://127.0.0.1:{free_port()}/0")
    yield client
    await client.aclose()


@pytest.fixture
async def queue_away() -> AsyncIterator[Queue]:
    client = connect_arq(f"redis://127.0.0.1:{free_port()}/0")
    yield Queue(client, CHAT_QUEUE)
    await client.aclose()


class RecordingTransport(Transport):
    """Keeps what Sentry would be sent. (An ingest in this process would be traced itself, and so without end.)"""

    def __init__(self) -> None:
        super().__init__()
        self._items: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self._items += [item.payload.json for item in envelope.items if item.payload.json]

    def transactions(self, name: str) -> list[dict[str, Any]]:
        return [item for item in self._items if item.get("transaction") == name and item.get("type") == "transaction"]

    def errors(self) -> list[tuple[str, str]]:
        """Each one's trace id and type."""
        events = [item for item in self._items if "exception" in item]
        return [(e["contexts"]["trace"]["trace_id"], e["exception"]["values"][-1]["type"]) for e in events]


@pytest.fixture
def sentry() -> Iterator[RecordingTransport]:
    """Sentry runs in this process while the test does, with every trace sampled."""
    start_telemetry("chat-worker", SentrySettings(sentry_dsn="http://key@127.0.0.1:1/1", sentry_traces_sample_rate=1.0))
    client, transport = sentry_sdk.get_client(), RecordingTransport()
    assert client.transport is not None
    client.transport.kill()
    client.transport = transport
    yield transport
    client.close()
    sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture(scope="session")
def provider() -> Iterator[ScriptedProvider]:
    models = ["alpha", "beta-2026", "once", "impatient", "prefilling"]
    with ScriptedProvider(models=models, api_key=PROVIDER_KEY) as provider:
        yield provider


@pytest.fixture
def settings(
    database_url: str,
    stack: Stack,
    provider: ScriptedProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ChatSettings:
    """With a `models.toml` of the scripted provider."""
    monkeypatch.setenv("KEY_OF_THE_SCRIPTED_PROVIDER", PROVIDER_KEY)
    models = tmp_path / "models.toml"
    models.write_text(
        MODELS.format(provider=provider.base_url, key_variable="KEY_OF_THE_SCRIPTED_PROVIDER", closed_port=free_port())
    )
    return ChatSettings(
        service_key=SecretStr(SERVICE_KEY),
        database_url=SecretStr(database_url),
        redis_url=SecretStr(stack.url("valkey")),
        models_file=models,
    )


@pytest.fixture
async def clients() -> AsyncIterator[ProviderClients]:
    clients = ProviderClients()
    yield clients
    await clients.close()


@pytest.fixture
def catalogue(settings: ChatSettings, clients: ProviderClients) -> Catalogue:
    return Catalogue(settings, clients.list_models)


@pytest.fixture
def accepting(database: Database, catalogue: Catalogue, arq: ArqRedis) -> Accepting:
    return Accepting(database, catalogue, Queue(arq, CHAT_QUEUE))


@pytest.fixture
def owner() -> PersonId:
    return PersonId(new_id())


@pytest.fixture
def stranger() -> PersonId:
    return PersonId(new_id())


@pytest.fixture
def prompt() -> str:
    """A text that no other test says."""
    return f"What of {new_id()}?"


Ask = Callable[..., Awaitable[AcceptedTurn]]


@pytest.fixture
def ask(accepting: Accepting, owner: PersonId) -> Ask:
    """Accepts a message of the owner, in a new conversation unless `conversation_id` names one."""

    async def ask(text: str, *, conversation_id: str | None = None, **fields: Any) -> AcceptedTurn:
        if conversation_id is None:
            new = NewConversation(model=fields.get("model"))
            made = await create_conversation(accepting.database, accepting.catalogue, owner, new)
            conversation_id = made.id
        return await accept_turn(accepting, owner, NewTurn(conversation_id=conversation_id, text=text, **fields))

    return ask


@dataclass(frozen=True, slots=True)
class Rows:
    """What is in the database, as it is."""

    database: Database

    async def turn(self, turn: str) -> Row[Any]:
        [row] = await self._all(turns, turns.c.id == turn)
        return row

    async def calls(self, turn: str) -> list[Row[Any]]:
        """By attempt and number."""
        found = await self._all(calls, calls.c.turn_id == turn)
        return sorted(found, key=lambda row: (row.attempt, row.call))

    async def outbox(self, turn: str) -> list[Row[Any]]:
        """Of a turn's calls and of the switch that it completes."""
        return await self._all(outbox, outbox.c.payload["turn_id"].astext == turn)

    async def outbox_of(self, conversation: str) -> list[Row[Any]]:
        return await self._all(outbox, outbox.c.payload["session_id"].astext == conversation)

    async def messages(self, conversation: str) -> list[Row[Any]]:
        found = await self._all(messages, messages.c.conversation_id == conversation)
        return sorted(found, key=lambda row: row.created_at)

    async def change(self, statement: str, **values: Any) -> None:
        """Makes what only time or a crash makes."""
        async with self.database.transaction() as connection:
            await connection.execute(text(statement), values)

    async def end_lease(self, turn: str) -> None:
        await self.change("UPDATE turns SET lease_until = now() - interval '1 second' WHERE id = :id", id=turn)

    async def has_good_lease(self, turn: str) -> bool:
        return bool(await self._all(turns, and_(turns.c.id == turn, turns.c.lease_until > func.now())))

    async def _all(self, table: Table, condition: Any) -> list[Row[Any]]:
        async with self.database.transaction() as connection:
            return list((await connection.execute(select(table).where(condition))).all())


@pytest.fixture
def rows(database: Database) -> Rows:
    return Rows(database)


@dataclass(frozen=True, slots=True)
class Keys:
    """What is in Redis, as it is."""

    redis: Redis

    async def stream(self, turn: str) -> list[tuple[str, str, Any]]:
        """Each entry's id, kind and data."""
        entries: Any = await self.redis.xrange(turn_stream(TurnId(turn)))
        return [
            (entry_id.decode(), fields[KIND_FIELD].decode(), orjson.loads(fields[DATA_FIELD]))
            for entry_id, fields in entries
        ]

    async def jobs(self, queue: str, **fields: object) -> list[tuple[str, JobEnvelope]]:
        """The waiting jobs whose payload has these fields: name and envelope."""
        found: list[tuple[str, JobEnvelope]] = []
        for job_id in await self.redis.zrange(queue_key(queue), 0, -1):
            job = orjson.loads(await self.redis.get(b"arq:job:" + job_id) or b"{}")
            envelope = JobEnvelope.model_validate(job["a"][0])
            if fields.items() <= envelope.payload.items():
                found.append((job["f"], envelope))
        return found


@pytest.fixture
def keys(redis: Redis) -> Keys:
    return Keys(redis)


@pytest.fixture
async def publisher(redis: Redis) -> AsyncIterator[EventPublisher]:
    """One whose flusher runs."""
    publisher = EventPublisher(redis)
    flushing = asyncio.create_task(publisher.run())
    yield publisher
    flushing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await flushing


@pytest.fixture
def answering(
    database: Database,
    catalogue: Catalogue,
    clients: ProviderClients,
    publisher: EventPublisher,
    arq: ArqRedis,
) -> Answering:
    """A worker process's tools."""
    return Answering(
        worker="worker of the tests",
        database=database,
        catalogue=catalogue,
        clients=clients,
        publisher=publisher,
        turns=RunningTurns(),
        own_queue=Queue(arq, CHAT_QUEUE),
        tracking_queue=Queue(arq, TRACKING_QUEUE),
    )
