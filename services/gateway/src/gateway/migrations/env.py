"""Alembic runs this file for each command."""

from gateway.tables import metadata
from wire.migrations import run_environment

run_environment(metadata)
