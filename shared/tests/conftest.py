"""A real PostgreSQL, a real Valkey and a Sentry ingest that records."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import sentry_sdk
import structlog
from arq.connections import ArqRedis
from starlette.routing import Route, Router

from local.stack import Stack
from parts.background_server import BackgroundServer
from parts.recording_ingest import PROJECT, RecordingIngest
from parts.servers import databases
from wire.process_settings import SentrySettings
from wire.queue import connect_arq
from wire.telemetry.setup import start_telemetry

StartTelemetry = Callable[..., None]


class UntracedIngest(RecordingIngest):
    """For a process that sends to itself: a traced ingest would send a transaction for each that it takes, for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._server = BackgroundServer(Router([Route(f"/api/{PROJECT}/envelope/", self._take, methods=["POST"])]))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with databases(tmp_path_factory.mktemp("state")) as stack:
        yield stack


@pytest.fixture(scope="session")
def redis_url(stack: Stack) -> str:
    return stack.url("valkey")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    redis = connect_arq(redis_url)
    yield redis
    await redis.aclose()


@pytest.fixture(scope="session")
def ingest() -> Iterator[RecordingIngest]:
    with UntracedIngest() as ingest:
        yield ingest
        assert ingest.unreadable == []


@pytest.fixture
def telemetry(ingest: RecordingIngest) -> Iterator[StartTelemetry]:
    """Starts this process's telemetry towards the ingest; `settings` are Sentry's own."""

    def start(process: str = "chat", *, own_urls: tuple[str, ...] = (), at_the_edge: bool = False, **settings: object):
        given = {"sentry_dsn": ingest.dsn, "sentry_traces_sample_rate": 1.0} | settings
        start_telemetry(process, SentrySettings.model_validate(given), own_urls=own_urls, at_the_edge=at_the_edge)

    yield start
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Puts logging back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
