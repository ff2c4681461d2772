"""Faults that PostgreSQL itself makes, as it would on a mistake of ours: deterministic, and for one row only."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg

from e2e.hopline import Hopline


@asynccontextmanager
async def a_ledger_that_refuses(hopline: Hopline, conversation: str) -> AsyncGenerator[None]:
    """Tracking's database takes no call of this conversation until the block ends."""
    name = f"refuse_{uuid4().hex}"
    async with _sql(hopline, "tracking") as connection:
        await connection.execute(
            f"""
            CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'refused by a test' USING ERRCODE = 'P0001'; END $$;
            CREATE TRIGGER {name} BEFORE INSERT ON usage_calls FOR EACH ROW
                WHEN (NEW.session_id = '{conversation}') EXECUTE FUNCTION {name}();
            """
        )
        try:
            yield
        finally:
            await connection.execute(f"DROP TRIGGER {name} ON usage_calls; DROP FUNCTION {name};")


@asynccontextmanager
async def messages_are_refused(hopline: Hopline, *, that_say: str) -> AsyncGenerator[None]:
    """Chat's database takes no message that holds this text, and quotes the row in its words, as PostgreSQL does."""
    name = f"refuse_{uuid4().hex}"
    async with _sql(hopline, "chat") as connection:
        await connection.execute(
            f"ALTER TABLE messages ADD CONSTRAINT {name} CHECK (text NOT LIKE '%{that_say}%') NOT VALID"
        )
        try:
            yield
        finally:
            await connection.execute(f"ALTER TABLE messages DROP CONSTRAINT {name}")


@asynccontextmanager
async def completions_are_refused(hopline: Hopline, conversation: str) -> AsyncGenerator[None]:
    """Chat's database lets no turn of this conversation be complete; that it failed it takes."""
    name = f"refuse_{uuid4().hex}"
    async with _sql(hopline, "chat") as connection:
        await connection.execute(
            f"""ALTER TABLE turns ADD CONSTRAINT {name}
                CHECK (state <> 'complete' OR conversation_id <> '{conversation}') NOT VALID"""
        )
        try:
            yield
        finally:
            await connection.execute(f"ALTER TABLE turns DROP CONSTRAINT {name}")


async def is_told_again(hopline: Hopline, turn: str) -> bool:
    """The sweep has told the ledger once more of a call of this turn."""
    async with _sql(hopline, "chat") as connection:
        query = "SELECT 1 FROM outbox WHERE event_id LIKE $1 AND sent_at > created_at"
        return await connection.fetchval(query, f"{turn}:%") is not None


@asynccontextmanager
async def _sql(hopline: Hopline, service: str) -> AsyncGenerator[Any]:
    connection = await asyncpg.connect(hopline.stack.database_url(service))
    try:
        yield connection
    finally:
        await connection.close()
