"""The tables of `hopline_gateway`, as the migrations make them.

| table | a row is | changes |
|---|---|---|
| `people` | somebody who uses this Hopline | never |
| `api_keys` | a key of theirs, as a hash: the key itself is shown once and kept nowhere | revoked once |
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

MOMENT = DateTime(timezone=True)

people = Table(
    "people",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", MOMENT, nullable=False, server_default=func.now()),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("person_id", Uuid(as_uuid=False), ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False, server_default=func.now()),
    Column("revoked_at", MOMENT),
    CheckConstraint("octet_length(key_hash) = 32", name="sha256"),
    Index("ix_api_keys_person_id", "person_id"),
)
