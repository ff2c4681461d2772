"""Alembic for a service that owns a database: the migrations live in the service, the way to run them here.

Migrations run in one process at a time (an advisory lock) and before the services start. A database that is newer than
the code is refused: the code would write rows that the newer schema does not expect.
"""

import asyncio
import sys
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

from wire.database import is_unavailable, sqlalchemy_url

LOCK_ID = 0x486F706C  # "Hopl"
EXIT_NOT_MIGRATED = 1


def alembic_config(migrations: Path, url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["url"] = sqlalchemy_url(url)
    return config


def migrate(service: str, migrations: Path, url: str) -> None:
    """The database has the newest schema that this code knows; otherwise one sentence on stderr and exit code 1."""
    try:
        command.upgrade(alembic_config(migrations, url), "head")
    except CommandError:
        sys.exit(
            f"The database of {service} is newer than this version of Hopline. "
            "Start the newer version again, or restore a backup from before its upgrade."
        )
    except Exception as error:
        if not is_unavailable(error):
            raise
        sys.exit(f"The database of {service} can't be reached. Is PostgreSQL running, and is the URL right?")
    print(f"{service}: the database is up to date")


def run_environment(metadata: MetaData) -> None:
    """The whole of a service's alembic `env.py`."""
    url: str = context.config.attributes["url"]
    asyncio.run(_run_online(url, metadata))


async def _run_online(url: str, metadata: MetaData) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run_locked, metadata)
            await connection.commit()
    finally:
        await engine.dispose()


def _run_locked(connection: Connection, metadata: MetaData) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
