"""The migrations make exactly the tables that the code knows."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, Table, inspect

from chat.tables import metadata
from wire.database import Database


async def test_the_migrated_database_differs_in_nothing_from_the_tables(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.transaction() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
async def test_the_migrated_database_has_the_checks_of_the_tables(database: Database, table: Table) -> None:
    def names(connection: Connection) -> set[str | None]:
        return {check["name"] for check in inspect(connection).get_check_constraints(table.name)}

    async with database.transaction() as connection:
        found = await connection.run_sync(names)
    assert found == {check.name for check in table.constraints if isinstance(check, CheckConstraint)}
