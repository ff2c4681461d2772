"""The secrets of one state directory, made once and kept for its owner alone.

`<state>/secrets` has the form of `.env`. Losing it while the database stays means that nothing can open the database.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .dotenv import parse_dotenv
from .errors import SettingError

NAMES = (
    "HOPLINE_SERVICE_KEY",
    "HOPLINE_LOCAL_MODEL_KEY",
    "POSTGRES_PASSWORD",
    "GATEWAY_DATABASE_PASSWORD",
    "CHAT_DATABASE_PASSWORD",
    "TRACKING_DATABASE_PASSWORD",
    "REDIS_PASSWORD",
)
HEADER = "# Made by the launcher. The database in this directory opens only with these.\n"


def load_secrets(state_dir: Path) -> dict[str, str]:
    """All of `NAMES`; those that were missing are made and written."""
    path = state_dir / "secrets"
    try:
        found = parse_dotenv(path.read_text(), name=str(path))
    except FileNotFoundError:
        found = {}
    except OSError as error:
        raise SettingError(f"{path} can't be read: {error.strerror}.") from error
    missing = {name: secrets.token_urlsafe(32) for name in NAMES if not found.get(name)}
    if missing:
        _write(path, found | missing)
    return found | missing


def _write(path: Path, values: dict[str, str]) -> None:
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(HEADER + "".join(f"{name}={value}\n" for name, value in values.items()))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
