"""One Hopline for all tests of the session, and the people in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser

from e2e.browser import chromium
from e2e.hopline import Hopline, Logs, new_key
from e2e.models import KEY_VARIABLE, SCRIPTED, write_models_file
from e2e.person import Person
from local import npm_build
from local.ports import free_ports
from local.stack import Stack
from parts.recording_ingest import RecordingIngest
from parts.scripted_provider import ScriptedProvider
from parts.servers import ROOT

SHOWN_LOG_LINES = 80
DRAIN_TIMEOUT_S = "2"
"""Shorter than a deployment's: tests that end a process wait for it."""

LOG_START = pytest.StashKey[int]()
LOGS = Logs()


@pytest.fixture(scope="session")
def provider_key() -> str:
    return new_key()


@pytest.fixture(scope="session")
def provider(provider_key: str) -> Iterator[ScriptedProvider]:
    with ScriptedProvider(models=SCRIPTED, api_key=provider_key) as provider:
        yield provider


@pytest.fixture(scope="session")
def ingest() -> Iterator[RecordingIngest]:
    with RecordingIngest() as ingest:
        yield ingest
        assert ingest.unreadable == []


@pytest.fixture(scope="session")
def hopline(
    tmp_path_factory: pytest.TempPathFactory,
    provider: ScriptedProvider,
    provider_key: str,
    ingest: RecordingIngest,
) -> Iterator[Hopline]:
    """All processes are ready. A test that takes something away brings it back."""
    state_dir = tmp_path_factory.mktemp("hopline")
    models_file = state_dir / "models-of-the-tests.toml"
    write_models_file(models_file, provider.base_url)
    env = {
        "HOPLINE_MODELS": str(models_file),
        KEY_VARIABLE: provider_key,
        "SENTRY_DSN": ingest.dsn,
        "SENTRY_TRACES_SAMPLE_RATE": "1.0",
        "SENTRY_ENVIRONMENT": "test",
        "HOPLINE_DRAIN_TIMEOUT_S": DRAIN_TIMEOUT_S,
    }
    with Stack(ROOT, state_dir=state_dir, ports=free_ports(), env=env, log_sink=LOGS.write) as stack:
        stack.start_databases()
        stack.migrate()
        stack.start_services()
        yield Hopline(stack, provider, ingest, LOGS, provider_key)


@pytest.fixture(scope="session")
def ada_key(hopline: Hopline) -> str:
    return hopline.add_person("Ada")


@pytest.fixture(scope="session")
def ben_key(hopline: Hopline) -> str:
    return hopline.add_person("Ben")


@pytest.fixture(scope="session")
async def ada(hopline: Hopline, ada_key: str) -> AsyncIterator[Person]:
    async with hopline.client(Authorization=f"Bearer {ada_key}") as http:
        yield Person(http, "Ada")


@pytest.fixture(scope="session")
async def ben(hopline: Hopline, ben_key: str) -> AsyncIterator[Person]:
    async with hopline.client(Authorization=f"Bearer {ben_key}") as http:
        yield Person(http, "Ben")


@pytest.fixture(scope="session")
async def local(hopline: Hopline) -> AsyncIterator[Person]:
    """Whoever sits at this machine: no key at all."""
    async with hopline.client() as http:
        yield Person(http, "local")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A browser, and a page that is built from the sources as they are."""
    await asyncio.to_thread(npm_build.ensure, ROOT, npm_build.FRONTEND)
    async with chromium() as browser:
        yield browser


@pytest.fixture
def prompt() -> str:
    """A prompt that no other test asks, to tell the provider what to do with it."""
    return f"What about {uuid4()}?"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[LOG_START] = len(LOGS.lines)
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """A test that failed shows what the processes logged meanwhile."""
    report = yield
    if report.failed:
        lines = LOGS.text(item.stash.get(LOG_START, 0)).splitlines()
        report.sections.append(("logs of the processes", "\n".join(lines[-SHOWN_LOG_LINES:])))
    return report
