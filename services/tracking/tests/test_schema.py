"""The migrations make exactly the tables that the code knows."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, Table, insert, inspect
from sqlalchemy.exc import IntegrityError

from tracking.record_usage import call_row
from tracking.tables import metadata, model_switches, usage_calls
from wire.contracts.jobs import UsageEvent
from wire.database import Database


async def test_the_migrated_database_differs_in_nothing_from_the_tables(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.transaction() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.parametrize("table", [usage_calls, model_switches], ids=lambda table: table.name)
async def test_the_migrated_database_has_the_checks_of_the_tables(database: Database, table: Table) -> None:
    def names(connection: Connection) -> set[str | None]:
        return {check["name"] for check in inspect(connection).get_check_constraints(table.name)}

    async with database.transaction() as connection:
        found = await connection.run_sync(names)
    assert found == {check.name for check in table.constraints if isinstance(check, CheckConstraint)}


def test_a_column_stands_for_every_field_of_a_usage_event() -> None:
    columns = {column.name for column in usage_calls.columns}
    assert set(UsageEvent.model_fields) - {"price"} <= columns


async def test_a_call_with_fewer_than_no_tokens_is_refused(database: Database, call: Any) -> None:
    with pytest.raises(IntegrityError, match="usage_calls_tokens_check"):
        async with database.transaction() as connection:
            await connection.execute(insert(usage_calls).values(call_row(call(output_tokens=-1))))
