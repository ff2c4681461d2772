"""A real PostgreSQL and a real Valkey, alone or below all of Hopline's processes.

A member's own tests take the databases:

    with databases(tmp_path_factory.mktemp("state")) as stack:
        stack.database_url("tracking"), stack.url("valkey")

See `local.stack` for what a stack can do.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from local.ports import free_ports
from local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def databases(state_dir: Path) -> Generator[Stack]:
    """PostgreSQL with Hopline's three databases, still empty, and Valkey run while the block does, on free ports."""
    with Stack(ROOT, state_dir=state_dir, ports=free_ports()) as stack:
        stack.start_databases()
        yield stack
