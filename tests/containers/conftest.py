"""The one compose project of the session, and what stands around it on this machine."""

import os
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from containers.composition import EVERY_ADDRESS, Composition, as_containers_see
from e2e.person import Person
from local.ports import free_port
from parts.recording_ingest import RecordingIngest

PROJECT = os.environ.get("HOPLINE_TEST_CONTAINERS", "")

collect_ignore_glob = [] if PROJECT else ["test_*.py"]


@pytest.fixture(scope="session")
def ingest() -> Iterator[RecordingIngest]:
    with RecordingIngest(host=EVERY_ADDRESS) as ingest:
        yield ingest
        assert ingest.unreadable == []


@pytest.fixture(scope="session")
def hopline(ingest: RecordingIngest) -> Iterator[Composition]:
    """Everything is well, from nothing but the repository and a place for telemetry."""
    composition = Composition(PROJECT, free_port(), {"SENTRY_DSN": as_containers_see(ingest.dsn)})
    try:
        composition.up()
        yield composition
    finally:
        composition.down()


@pytest.fixture(scope="session")
async def local(hopline: Composition) -> AsyncIterator[Person]:
    """Whoever sits at this machine, at the front door."""
    async with hopline.client() as http:
        yield Person(http, "local")


@pytest.fixture
def prompt() -> str:
    return f"What about {uuid4()}?"
