"""`python -m gateway.migrate`: brings `hopline_gateway` up to the newest schema and ends."""

from pathlib import Path

from gateway.settings import DatabaseSettings
from wire.migrations import migrate
from wire.process_settings import load_settings

MIGRATIONS = Path(__file__).parent / "migrations"


def main() -> None:
    migrate("gateway", MIGRATIONS, load_settings(DatabaseSettings).database_url.get_secret_value())


if __name__ == "__main__":
    main()
