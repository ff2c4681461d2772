"""A service's own PostgreSQL database: one engine, one way to open a transaction, one error when it is away."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
from pydantic import AfterValidator, SecretStr
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 30
PING_AFTER_S = 30.0
"""A connection that lay longer is asked whether it still leads anywhere: asking takes three round trips."""

SCHEMES = ("postgresql", "postgres")

USED_AT = "used_at"
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
            hide_parameters=True,  # an error's message would quote them, and they hold people's text
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                "command_timeout": STATEMENT_TIMEOUT_S,
                "server_settings": {"application_name": application_name, "jit": "off"},
            },
        )
        event.listen(self._engine.sync_engine, "checkout", self._refuse_dead)
        event.listen(self._engine.sync_engine, "checkin", _note_use)

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

    def _refuse_dead(self, adapted: Any, record: Any, _proxy: object) -> None:
        """The pool asks before it hands a connection out. One that its server has closed is known to be dead."""
        idle_s = time.monotonic() - record.info.get(USED_AT, time.monotonic())
        if adapted.driver_connection.is_closed() or (idle_s > PING_AFTER_S and not self._leads_anywhere(adapted)):
            raise InvalidatePoolError

    def _leads_anywhere(self, adapted: Any) -> bool:
        try:
            return self._engine.dialect.do_ping(adapted)
        except Exception as error:
            if is_unavailable(error):
                return False
            raise

    async def ping(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._engine.dispose()


def _note_use(_adapted: object, record: Any) -> None:
    record.info[USED_AT] = time.monotonic()


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
