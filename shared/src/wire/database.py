"""A service's own PostgreSQL database: one engine, one way to open a transaction, one error when it is away."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
from pydantic import AfterValidator, SecretStr
from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 30

SCHEMES = ("postgresql", "postgres")

AWAY_STATES = ("08", "57P", "53")
"""SQLSTATE classes: connection exceptions, shutdown, too few resources."""


def _is_url(value: SecretStr) -> SecretStr:
    scheme, _, _ = value.get_secret_value().partition("://")
    try:
        url = make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        url = None
    if scheme not in SCHEMES or url is None or not (url.database and (url.host or "host" in url.query)):
        raise ValueError("This is not a URL such as postgresql://user:password@host:5432/name")
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_is_url)]
"""For settings: a wrong one is refused at the start, and not shown."""


class DatabaseUnavailable(Exception):
    """PostgreSQL can't be reached, is starting or stopping; nothing was committed, and trying again helps."""


class Database:
    """`async with database.transaction() as connection:` commits at the end, rolls back on an error."""

    def __init__(self, url: str, *, application_name: str, pool_size: int = 10) -> None:
        self._engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=POOL_TIMEOUT_S,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's message would quote them, and they hold people's text
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                "command_timeout": STATEMENT_TIMEOUT_S,
                "server_settings": {"application_name": application_name, "jit": "off"},
            },
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Raises:
        DatabaseUnavailable: as the class says. After a failed commit the outcome is unknown: write idempotently.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except Exception as error:
            if is_unavailable(error):
                raise DatabaseUnavailable("the database can't be reached") from error
            raise

    async def ping(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._engine.dispose()


def sqlalchemy_url(url: str) -> str:
    """`postgresql://…` with the driver that this code uses."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+asyncpg://{rest}" if separator and scheme in SCHEMES else url


def is_unavailable(error: BaseException) -> bool:
    """Whether the database being away explains `error`. asyncpg raises some of these past SQLAlchemy's own errors."""
    if isinstance(error, OSError | PoolTimeoutError | asyncpg.InternalClientError | asyncpg.InterfaceError):
        return True
    if isinstance(error, asyncpg.PostgresError):
        return str(getattr(error, "sqlstate", "") or "").startswith(AWAY_STATES)
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        return (
            error.connection_invalidated
            or isinstance(error, InterfaceError | OperationalError)
            or (cause is not None and is_unavailable(cause))
        )
    return False
