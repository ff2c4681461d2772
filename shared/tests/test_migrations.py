"""Migrations bring a database up to date, once at a time, and refuse one that is newer than the code."""

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from local.ports import free_port
from local.stack import Stack
from wire.migrations import migrate

ENVIRONMENT = """
from sqlalchemy import MetaData
from wire.migrations import run_environment

run_environment(MetaData())
"""
REVISION = """
from alembic import op

revision = "{revision}"
down_revision = {before!r}


def upgrade():
    op.execute("CREATE TABLE fruit_{revision} (name text)")
"""


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """Migrations bring an event loop of their own."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
async def url(stack: Stack) -> str:
    """An empty database."""
    url = stack.database_url("gateway")
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    return url


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """Two revisions."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    (tmp_path / "versions" / "one.py").write_text(REVISION.format(revision="1", before=None))
    (tmp_path / "versions" / "two.py").write_text(REVISION.format(revision="2", before="1"))
    return tmp_path


async def tables(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    await connection.close()
    return [row["tablename"] for row in rows]


async def run(thread: ThreadPoolExecutor, scripts: Path, url: str) -> None:
    await asyncio.wrap_future(thread.submit(migrate, "gateway", scripts, url))


async def test_an_empty_database_gets_the_newest_schema(
    thread: ThreadPoolExecutor, scripts: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(thread, scripts, url)

    assert await tables(url) == ["alembic_version", "fruit_1", "fruit_2"]
    assert capsys.readouterr().out == "gateway: the database is up to date\n"


async def test_a_second_run_changes_nothing(thread: ThreadPoolExecutor, scripts: Path, url: str) -> None:
    await run(thread, scripts, url)

    await run(thread, scripts, url)

    assert await tables(url) == ["alembic_version", "fruit_1", "fruit_2"]


async def test_runs_at_the_same_time_wait_for_one_another(scripts: Path, url: str) -> None:
    script = "import sys, pathlib, wire.migrations as m; m.migrate('gateway', pathlib.Path(sys.argv[1]), sys.argv[2])"
    runs = [await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(scripts), url) for _ in range(3)]

    assert [await run.wait() for run in runs] == [0, 0, 0]
    assert await tables(url) == ["alembic_version", "fruit_1", "fruit_2"]


async def test_a_migration_that_breaks_leaves_the_database_as_it_was(
    thread: ThreadPoolExecutor, scripts: Path, url: str
) -> None:
    broken = REVISION.format(revision="3", before="2") + "    op.execute('no statement')\n"
    (scripts / "versions" / "three.py").write_text(broken)

    with pytest.raises(Exception, match="syntax error"):
        await run(thread, scripts, url)

    assert await tables(url) == []


async def test_a_database_that_is_newer_than_the_code_is_refused(
    thread: ThreadPoolExecutor, scripts: Path, url: str
) -> None:
    await run(thread, scripts, url)
    (scripts / "versions" / "two.py").unlink()

    with pytest.raises(SystemExit) as refused:
        await run(thread, scripts, url)

    assert refused.value.code == (
        "The database of gateway is newer than this version of Hopline. "
        "Start the newer version again, or restore a backup from before its upgrade."
    )


async def test_a_database_that_is_away_is_one_sentence(thread: ThreadPoolExecutor, scripts: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        await run(thread, scripts, f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")

    assert refused.value.code == (
        "The database of gateway can't be reached. Is PostgreSQL running, and is the URL right?"
    )
