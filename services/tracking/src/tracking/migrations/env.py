"""Alembic runs this file for each command."""

from tracking.tables import metadata
from wire.migrations import run_environment

run_environment(metadata)
