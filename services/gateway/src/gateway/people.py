"""`python -m gateway.people`: who may use this Hopline, and with which keys.

python -m gateway.people add NAME              a new person and their first API key, shown once
python -m gateway.people add-key NAME          another key for somebody
python -m gateway.people list                  everybody and the start of each key
python -m gateway.people revoke NAME [KEY]     all keys of somebody, or the one that starts with KEY
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy.exc import ProgrammingError

from gateway import people_store
from gateway.api_keys import HINT_CHARS, PREFIX, hash_of, hint_of, new_key
from gateway.settings import DatabaseSettings
from wire.database import Database, DatabaseUnavailable
from wire.ids import PersonId
from wire.process_settings import load_settings

MAX_NAME_CHARS = 100


class CannotDo(Exception):
    """The command asks for what can't be; its words say why and what to do."""


async def add_person(database: Database, name: str) -> str:
    """The key of a new person.

    Raises:
        CannotDo: the name is unusable or taken.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise CannotDo(f"A name has 1 to {MAX_NAME_CHARS} printable characters.")
    if name == people_store.LOCAL_NAME:
        raise CannotDo("The name `local` is for the mode without sign-in. Choose another.")
    key = new_key()
    async with database.transaction() as connection:
        person = await people_store.insert_person(connection, name)
        if person is None:
            raise CannotDo(f"There is already somebody named {name}. `add-key {name}` makes another key for them.")
        await people_store.insert_key(connection, person, key_hash=hash_of(key), hint=hint_of(key))
    return key


async def add_key(database: Database, name: str) -> str:
    """Another key of somebody.

    Raises:
        CannotDo: nobody has that name.
    """
    key = new_key()
    person = await _known_person(database, name)
    async with database.transaction() as connection:
        await people_store.insert_key(connection, person, key_hash=hash_of(key), hint=hint_of(key))
    return key


async def revoke(database: Database, name: str, key: str | None = None) -> int:
    """How many keys stop working now. Gateways that run notice within `gateway.identify.CACHE_S`.

    Raises:
        CannotDo: nobody has that name, or `key` is too short to name one.
    """
    hint = None if key is None else hint_of(key)
    if hint is not None and (len(hint) < HINT_CHARS or not hint.startswith(PREFIX)):
        raise CannotDo(f"Name a key by its first {HINT_CHARS} characters, as `list` shows them.")
    person = await _known_person(database, name)
    async with database.transaction() as connection:
        return await people_store.revoke_keys(connection, person, hint=hint)


async def table_of_people(database: Database) -> list[str]:
    """One line a key."""
    async with database.transaction() as connection:
        lines = await people_store.list_keys(connection)
    return [_line(line) for line in lines]


async def _known_person(database: Database, name: str) -> PersonId:
    async with database.transaction() as connection:
        person = await people_store.find_person(connection, name.strip())
    if person is None:
        raise CannotDo(f"There is nobody named {name}. `list` shows who there is.")
    return person


def _line(line: people_store.KeyLine) -> str:
    if line.hint is None or line.created_at is None:
        return f"{line.name:<24} no key"
    state = f"revoked {line.revoked_at:%Y-%m-%d}" if line.revoked_at else "good"
    return f"{line.name:<24} {line.hint}…  since {line.created_at:%Y-%m-%d}  {state}"


async def _run(arguments: argparse.Namespace, database: Database) -> None:
    name: str = getattr(arguments, "name", "")
    commands: dict[str, Callable[[], Awaitable[None]]] = {
        "add": lambda: _print_key(add_person(database, name), name),
        "add-key": lambda: _print_key(add_key(database, name), name),
        "list": lambda: _print_people(database),
        "revoke": lambda: _print_revoked(database, name, arguments.key),
    }
    await commands[arguments.command]()


async def _print_key(making: Awaitable[str], name: str) -> None:
    key = await making
    print(f"The API key of {name}, shown this once:\n\n    {key}\n")
    print("It goes into the header `Authorization: Bearer …`, or into an OpenAI client as its api_key.")


async def _print_people(database: Database) -> None:
    print("\n".join(await table_of_people(database)) or "There is nobody yet. `add NAME` makes somebody.")


async def _print_revoked(database: Database, name: str, key: str | None) -> None:
    count = await revoke(database, name, key)
    print(f"{count} {'key' if count == 1 else 'keys'} of {name} revoked.")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.people", description="Who may use this Hopline.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="add | add-key | list | revoke")
    commands.add_parser("add", help="a new person and their first API key").add_argument("name")
    commands.add_parser("add-key", help="another key for somebody").add_argument("name")
    commands.add_parser("list", help="everybody and the start of each key")
    revoking = commands.add_parser("revoke", help="make somebody's keys useless")
    revoking.add_argument("name")
    revoking.add_argument("key", nargs="?", help="the start of one key; without it, all of them")
    return parser.parse_args(words)


async def _main(arguments: argparse.Namespace, database: Database) -> None:
    try:
        await _run(arguments, database)
    finally:
        await database.close()


def main(words: Sequence[str] | None = None) -> None:
    arguments = _arguments(words)
    url = load_settings(DatabaseSettings).database_url.get_secret_value()
    database = Database(url, application_name="gateway.people", pool_size=1)
    try:
        asyncio.run(_main(arguments, database))
    except CannotDo as error:
        sys.exit(str(error))
    except DatabaseUnavailable:
        sys.exit("The gateway's database can't be reached. Is PostgreSQL running, and is the URL right?")
    except ProgrammingError:
        sys.exit("The gateway's database has no tables yet. Run `python -m gateway.migrate` first.")


if __name__ == "__main__":
    main()
