"""Makes the secrets that are missing, on the first start all of them. What is there stays as it is.

Runs as their owner and as a member of every group, without any privilege.
"""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from contained.secret_files import (
    FOLDER,
    GROUPS,
    OWNERS,
    POSTGRES,
    POSTGRES_PASSWORD,
    REDIS,
    REDIS_CONF,
    REDIS_URL,
    SERVICE_KEY,
    database_url_file,
)

PASSWORD_BYTES = 32
REQUIRE_PASSWORD = "requirepass "  # noqa: S105 - a directive


def make_missing(folder: Path, groups: Mapping[str, int]) -> list[str]:
    """The names of those that were made, of all that have a group here."""
    made = [name for name in groups if not (folder / name).exists()]
    texts = _new_texts(_redis_password(folder) or _password())
    for name in made:
        _write(folder / name, texts[name], groups[name])
    return made


def _new_texts(redis_password: str) -> dict[str, str]:
    return {
        POSTGRES_PASSWORD: _password(),
        REDIS_CONF: f"{REQUIRE_PASSWORD}{redis_password}",
        REDIS_URL: f"redis://:{redis_password}@{REDIS}/0",
        SERVICE_KEY: _password(),
    } | {
        database_url_file(owner): f"postgresql://hopline_{owner}:{_password()}@{POSTGRES}/hopline_{owner}"
        for owner in OWNERS
    }


def _redis_password(folder: Path) -> str | None:
    """Two files hold it: one that was lost is made again from the other."""
    conf, url = folder / REDIS_CONF, folder / REDIS_URL
    if conf.exists():
        return conf.read_text().strip().removeprefix(REQUIRE_PASSWORD)
    return url.read_text().split("@")[0].removeprefix("redis://:") if url.exists() else None


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


def _write(path: Path, text: str, group: int) -> None:
    """All of it or nothing, whenever the machine fails."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o440)
    with os.fdopen(descriptor, "w") as file:
        os.fchown(descriptor, -1, group)
        file.write(f"{text}\n")
        file.flush()
        os.fsync(descriptor)
    new.rename(path)


def main() -> None:
    try:
        made = make_missing(FOLDER, GROUPS)
    except OSError as error:
        sys.exit(f"The secrets can't be made in {error.filename or FOLDER}: {error.strerror}.")
    print(f"secrets: {len(made)} made, {len(GROUPS) - len(made)} kept")


if __name__ == "__main__":
    main()
