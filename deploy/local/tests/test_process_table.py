import re
from pathlib import Path

from local.process_table import BY_NAME, DATABASE_SETTINGS, MIGRATIONS, PROCESSES, SERVICES, Kind

ROOT = Path(__file__).resolve().parents[3]


def test_names_settings_and_ports_are_each_used_once() -> None:
    assert len(BY_NAME) == len(PROCESSES)
    assert len({process.port_setting for process in PROCESSES}) == len(PROCESSES)
    assert len({process.default_port for process in PROCESSES}) == len(PROCESSES)


def test_the_processes_start_in_the_order_of_their_stages() -> None:
    stages = [process.stage for process in PROCESSES]
    assert stages == sorted(stages)
    assert {process.stage for process in PROCESSES if process.kind is Kind.DATABASE} == {0}


def test_every_owner_of_a_database_has_a_migration_and_a_service() -> None:
    assert set(MIGRATIONS) == set(DATABASE_SETTINGS)
    assert set(MIGRATIONS) <= set(SERVICES)


def test_every_setting_of_the_table_stands_in_the_example() -> None:
    written = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    settings = {process.port_setting for process in PROCESSES} | set(DATABASE_SETTINGS.values())
    settings |= {process.url_setting for process in PROCESSES if process.url_setting}
    settings |= {process.bind_setting for process in PROCESSES if process.bind_setting}
    assert settings - written == set()
