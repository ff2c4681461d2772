"""Each service has its role, with the password that its URL holds, and its own database, which no other role enters.

On every start: a first start that broke off is finished, and a URL that was made anew opens its database again.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from contained.secret_files import ADMIN, FOLDER, OWNERS, POSTGRES, POSTGRES_PASSWORD, database_url_file

CONNECT_TIMEOUT_S = 10
START_TIMEOUT_S = 120.0
"""PostgreSQL may have to make its first files, or to recover from a crash."""
TRY_AGAIN_S = 0.2
REFUSED = (
    f"PostgreSQL refuses the password in the volume with the secrets ({POSTGRES_PASSWORD}): its data were made with "
    "another one. Bring back that volume, or set the password anew as deploy/README.md says."
)


async def make_databases(folder: Path) -> None:
    admin = await _connect((folder / POSTGRES_PASSWORD).read_text().strip())
    try:
        for owner in OWNERS:
            await _make_database(admin, (folder / database_url_file(owner)).read_text().strip())
    finally:
        await admin.close()


async def _connect(password: str) -> Any:
    """As soon as PostgreSQL takes connections.

    Raises:
        OSError, asyncpg.PostgresError: it still does not after `START_TIMEOUT_S`, or refuses the password.
    """
    host, _, port = POSTGRES.partition(":")
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return await asyncpg.connect(
                host=host,
                port=int(port),
                user=ADMIN,
                database="postgres",
                password=password,
                timeout=CONNECT_TIMEOUT_S,
            )
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(TRY_AGAIN_S)


async def _make_database(admin: Any, url: str) -> None:
    parts = urlsplit(url)
    role, name = parts.username, parts.path.removeprefix("/")
    if not await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", role):
        await _execute(admin, "CREATE ROLE %I LOGIN", role)
    await _execute(admin, "ALTER ROLE %I PASSWORD %L", role, parts.password)
    if not await admin.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name):
        await _execute(admin, "CREATE DATABASE %I OWNER %I", name, role)
        await _execute(admin, "REVOKE ALL ON DATABASE %I FROM PUBLIC", name)


async def _execute(admin: Any, statement: str, *words: str | None) -> None:
    """PostgreSQL quotes the words itself: none of these statements takes parameters."""
    places = ", ".join(f"${at}::text" for at in range(2, len(words) + 2))
    await admin.execute(await admin.fetchval(f"SELECT format($1, {places})", statement, *words))


def main() -> None:
    try:
        asyncio.run(make_databases(FOLDER))
    except asyncpg.InvalidPasswordError:
        sys.exit(REFUSED)
    except (OSError, asyncpg.PostgresError) as error:
        sys.exit(f"The databases can't be made: {type(error).__name__}.")
    print(f"databases: {', '.join(OWNERS)} are there")


if __name__ == "__main__":
    main()
