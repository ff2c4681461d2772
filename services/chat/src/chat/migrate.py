"""`python -m chat.migrate`: brings chat's database to the newest schema."""

from pathlib import Path

from chat.settings import DatabaseSettings
from wire.migrations import migrate
from wire.process_settings import load_settings

MIGRATIONS = Path(__file__).parent / "migrations"


def main() -> None:
    settings = load_settings(DatabaseSettings)
    migrate("chat", MIGRATIONS, settings.database_url.get_secret_value())


if __name__ == "__main__":
    main()
