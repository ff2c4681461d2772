"""Which databases are known to be current, so that a later start need not run three programs to learn nothing.

A database is known by its cluster and its number in it, the migrations by their text: another database, a restored
one or another version of the code is not known, and its migration runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from .process_table import MIGRATIONS


class MigrationStamps:
    def __init__(self, root: Path, state_dir: Path) -> None:
        self._root, self._path = root, state_dir / "migrated.json"

    def due(self, databases: Mapping[str, str]) -> list[str]:
        """Owners whose migration has to run; a database that is not in `databases` always is."""
        known = self._known()
        return [owner for owner in MIGRATIONS if not self._is_known(known, owner, databases.get(owner))]

    def write(self, databases: Mapping[str, str]) -> None:
        stamps = {owner: self._stamp(owner, identity) for owner, identity in databases.items()}
        self._path.write_text(json.dumps(stamps))

    def _known(self) -> dict[str, str]:
        try:
            return json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}

    def _is_known(self, known: Mapping[str, str], owner: str, identity: str | None) -> bool:
        return identity is not None and known.get(owner) == self._stamp(owner, identity)

    def _stamp(self, owner: str, identity: str) -> str:
        digest = hashlib.sha256(identity.encode())
        folder = self._root / "services" / owner / "src" / owner / "migrations"
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
        return digest.hexdigest()
