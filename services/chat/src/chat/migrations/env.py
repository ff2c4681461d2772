"""Alembic's entry: chat's tables, run the way every service runs its migrations."""

from chat.tables import metadata
from wire.migrations import run_environment

run_environment(metadata)
