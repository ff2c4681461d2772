"""People and their keys in `hopline_gateway`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.tables import api_keys, people
from wire.ids import PersonId, new_id

LOCAL_PERSON = PersonId("00000000-0000-4000-8000-000000000001")
"""Who acts where nobody signs in. A fixed id: the local mode works while its database is away."""
LOCAL_NAME = "local"


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A person with one of their keys, or without any."""

    name: str
    hint: str | None
    created_at: datetime | None
    revoked_at: datetime | None


async def ensure_local_person(connection: AsyncConnection) -> None:
    await connection.execute(
        insert_or(people).values(id=LOCAL_PERSON, name=LOCAL_NAME).on_conflict_do_nothing(index_elements=["id"])
    )


async def insert_person(connection: AsyncConnection, name: str) -> PersonId | None:
    """`None` when there is somebody of that name."""
    found = await connection.scalar(
        insert_or(people)
        .values(id=new_id(), name=name)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(people.c.id)
    )
    return None if found is None else PersonId(found)


async def find_person(connection: AsyncConnection, name: str) -> PersonId | None:
    found = await connection.scalar(select(people.c.id).where(people.c.name == name))
    return None if found is None else PersonId(found)


async def insert_key(connection: AsyncConnection, person: PersonId, *, key_hash: bytes, hint: str) -> None:
    await connection.execute(insert(api_keys).values(id=new_id(), person_id=person, key_hash=key_hash, hint=hint))


async def owner_of_key(connection: AsyncConnection, key_hash: bytes) -> PersonId | None:
    """`None` when the key is unknown or revoked."""
    found = await connection.scalar(
        select(api_keys.c.person_id).where(api_keys.c.key_hash == key_hash, api_keys.c.revoked_at.is_(None))
    )
    return None if found is None else PersonId(found)


async def revoke_keys(connection: AsyncConnection, person: PersonId, *, hint: str | None) -> int:
    """How many keys are revoked by this: all of the person's, or those that begin with `hint`."""
    statement = update(api_keys).where(api_keys.c.person_id == person, api_keys.c.revoked_at.is_(None))
    if hint is not None:
        statement = statement.where(api_keys.c.hint == hint)
    result = await connection.execute(statement.values(revoked_at=func.now()))
    return result.rowcount


async def list_keys(connection: AsyncConnection) -> Sequence[KeyLine]:
    rows = await connection.execute(
        select(people.c.name, api_keys.c.hint, api_keys.c.created_at, api_keys.c.revoked_at)
        .select_from(people.outerjoin(api_keys, api_keys.c.person_id == people.c.id))
        .order_by(people.c.name, api_keys.c.created_at)
    )
    return [KeyLine(*row) for row in rows]
