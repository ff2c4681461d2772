"""A service's own database, on a real PostgreSQL: transactions, and one error for all the ways in which it is away."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from local.ports import free_port
from local.stack import Stack
from parts.waiting import until
from wire.database import Database, DatabaseUnavailable, is_unavailable, sqlalchemy_url

SECRET = "the-planted-secret"


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[Database]:
    database = Database(stack.database_url("gateway"), application_name="tests")
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS notes (words text PRIMARY KEY)"))
        await connection.execute(text("TRUNCATE notes"))
    yield database
    await database.close()


async def write(database: Database, words: str) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO notes VALUES (:words)"), {"words": words})


async def notes(database: Database) -> list[str]:
    async with database.transaction() as connection:
        return list((await connection.scalars(text("SELECT words FROM notes ORDER BY words"))).all())


async def test_a_transaction_is_committed_at_its_end(database: Database) -> None:
    await write(database, "one")

    assert await notes(database) == ["one"]


async def test_a_transaction_with_an_error_leaves_nothing(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO notes VALUES ('lost')"))
            raise LookupError

    with pytest.raises(LookupError):
        await write_and_fail()

    assert await notes(database) == []


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    database = Database(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing", application_name="tests")

    with pytest.raises(DatabaseUnavailable):
        await database.ping()

    await database.close()


async def test_a_database_that_goes_away_is_unavailable_until_it_is_back(database: Database, stack: Stack) -> None:
    async def hold_a_connection_through_the_outage() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            await asyncio.to_thread(stack.kill, "postgres")
            await connection.execute(text("SELECT 1"))

    try:
        with pytest.raises(DatabaseUnavailable):
            await hold_a_connection_through_the_outage()
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
    finally:
        await asyncio.to_thread(stack.start, "postgres")
        await asyncio.to_thread(stack.wait_ready, "postgres", 60)

    async def is_back() -> bool:
        try:
            await database.ping()
        except DatabaseUnavailable:
            return False
        return True

    await until(is_back, "the pool has connections again")


async def test_a_wrong_statement_is_not_taken_for_an_outage(database: Database) -> None:
    await write(database, "one")

    with pytest.raises(DBAPIError) as wrong:
        await write(database, "one")

    assert not is_unavailable(wrong.value)


async def test_an_errors_words_do_not_quote_the_statements_parameters(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT nothing FROM nowhere WHERE words = :words"), {"words": SECRET})

    with pytest.raises(DBAPIError) as wrong:
        await fail()

    assert SECRET not in str(wrong.value)


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), asyncpg.InternalClientError("got result for unknown protocol state")], ids=repr
)
def test_what_a_driver_raises_past_its_own_errors_is_an_outage_too(error: Exception) -> None:
    assert is_unavailable(error)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://ada:a%40b@host:5432/name", "postgresql+asyncpg://ada:a%40b@host:5432/name"),
        ("postgres://host/name", "postgresql+asyncpg://host/name"),
        ("postgresql+asyncpg://host/name", "postgresql+asyncpg://host/name"),
    ],
)
def test_a_url_gets_the_driver_that_this_code_uses(given: str, used: str) -> None:
    assert sqlalchemy_url(given) == used
