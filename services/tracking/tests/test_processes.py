"""`python -m tracking`, `python -m tracking.worker` and `python -m tracking.migrate`, as they are started."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local.stack import Stack
from parts.servers import databases
from parts.waiting import until
from tracking.usage_calls import held_calls
from wire.contracts.jobs import RECORD_USAGE, UsageEvent
from wire.database import Database
from wire.queue import Queue, connect_arq
from wire.redis_keys import TRACKING_QUEUE


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Both processes of tracking on databases of their own, which other tests don't take away."""
    with databases(tmp_path_factory.mktemp("processes")) as stack:
        migrated = run("tracking.migrate", stack.env_for("tracking"))
        assert (migrated.returncode, migrated.stdout) == (0, "tracking: the database is up to date\n")
        stack.start_services(["tracking", "tracking-worker"])
        yield stack


def run(module: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module], env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["tracking", "tracking-worker"])
async def test_a_process_is_alive_and_ready_under_its_name(running: Stack, name: str) -> None:
    async with httpx.AsyncClient(base_url=running.url(name)) as http:
        alive, ready = await http.get("/healthz"), await http.get("/readyz")

    assert alive.json() == {"status": "ok", "name": name, "version": "0.1.0"}
    assert (ready.status_code, ready.json()["status"], ready.json()["name"]) == (200, "ready", name)


async def test_the_worker_process_counts_what_is_published(running: Stack, call: Any) -> None:
    event: UsageEvent = call()
    redis = connect_arq(running.url("valkey"))
    await Queue(redis, TRACKING_QUEUE).publish(RECORD_USAGE, event)
    await redis.aclose()

    database = Database(running.database_url("tracking"), application_name="tests")

    async def is_held() -> bool:
        async with database.transaction() as connection:
            return await held_calls(connection, [event.event_id]) == {event.event_id}

    await until(is_held, "the call is counted")
    await database.close()


async def test_the_worker_is_not_ready_without_redis_and_goes_on_when_it_is_back(running: Stack) -> None:
    async with httpx.AsyncClient(base_url=running.url("tracking-worker")) as http:

        async def redis_is(state: str) -> bool:
            return (await http.get("/readyz")).json()["checks"]["redis"]["state"] == state

        await asyncio.to_thread(running.stop, "valkey")
        await until(lambda: redis_is("down"), "the worker misses Redis")
        assert (await http.get("/readyz")).status_code == 503

        await asyncio.to_thread(running.start, "valkey")
        await until(lambda: redis_is("up"), "Redis is back")
        assert (await http.get("/readyz")).status_code == 200
    assert "tracking-worker" in running.pids


@pytest.mark.parametrize("name", ["tracking", "tracking-worker"])
async def test_sigterm_ends_a_process(running: Stack, name: str) -> None:
    await asyncio.to_thread(running.kill, name, signal.SIGTERM)
    await until(lambda: name not in running.pids, "the process has ended")

    await asyncio.to_thread(running.start, name)
    await asyncio.to_thread(running.wait_ready, name)


@pytest.mark.parametrize(
    ("module", "variable", "value", "sentence"),
    [
        ("tracking", "HOPLINE_SERVICE_KEY", "short-secret", "HOPLINE_SERVICE_KEY needs at least 32 characters"),
        ("tracking.worker", "HOPLINE_TRACKING_DATABASE_URL", "", "HOPLINE_TRACKING_DATABASE_URL: Field required"),
    ],
)
def test_a_wrong_setting_ends_the_process_with_one_sentence(
    running: Stack, module: str, variable: str, value: str, sentence: str
) -> None:
    ended = run(module, running.env_for("tracking") | {variable: value})

    assert (ended.returncode, ended.stderr, ended.stdout) == (78, f"Wrong setting: {sentence}\n", "")


def test_a_migration_of_a_database_that_is_away_says_so(running: Stack) -> None:
    ended = run(
        "tracking.migrate",
        running.env_for("tracking") | {"HOPLINE_TRACKING_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing"},
    )

    assert (ended.returncode, ended.stderr) == (
        1,
        "The database of tracking can't be reached. Is PostgreSQL running, and is the URL right?\n",
    )


def test_migrating_again_changes_nothing(running: Stack) -> None:
    ended = run("tracking.migrate", running.env_for("tracking"))

    assert (ended.returncode, ended.stdout) == (0, "tracking: the database is up to date\n")
