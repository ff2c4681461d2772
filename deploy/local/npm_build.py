"""What npm makes: the page (frontend/dist) and Spotlight's packages. Standard library only.

    python npm_build.py frontend|spotlight|frontend-checks

Whoever needs a result calls `ensure`; it does nothing when the result is current, and waits when another process is
making it. The launcher starts this early, beside the Python packages, and asks again when it needs the result.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from local.errors import PrepareError
    from local.node import Node, find_node
else:
    from .errors import PrepareError
    from .node import Node, find_node

UNRELATED = {"node_modules", "dist", "tests", "coverage", "test-results", ".svelte-kit"}


@dataclass(frozen=True)
class NpmFolder:
    name: str
    folder: str
    result: str
    """Exists, relative to the folder, when it was made."""
    script: str | None
    """Run after the packages are there."""


FRONTEND = NpmFolder("frontend", "frontend", "dist/index.html", "build")
SPOTLIGHT = NpmFolder("spotlight", "deploy/local/spotlight", "node_modules/@spotlightjs/spotlight/dist/run.js", None)
FOLDERS = {made.name: made for made in (FRONTEND, SPOTLIGHT)}
CHECKS = "frontend-checks"
EXCERPT_LINES = 20


def is_current(root: Path, made: NpmFolder) -> bool:
    folder = root / made.folder
    return (folder / made.result).exists() and _stamp(root, made).is_current(sources_hash(folder))


def ensure(root: Path, made: NpmFolder) -> None:
    """The result is there and belongs to the sources as they are.

    Raises:
        PrepareError: npm failed; names the log.
    """
    if is_current(root, made):
        return
    with _alone(root, made):
        if not is_current(root, made):
            _make(root, made, find_node(root))


def ensure_check_packages(root: Path) -> None:
    """The packages for the page's checks and tests are there too.

    Raises:
        PrepareError: npm failed; names the log.
    """
    with _alone(root, FRONTEND):
        _install(root, FRONTEND, find_node(root), with_checks=True)


def log_path(root: Path, made: NpmFolder) -> Path:
    return root / ".venv" / "log" / f"{made.name}.log"


def sources_hash(folder: Path) -> str:
    """Of every file that can change the result."""
    digest = hashlib.sha256()
    for path in sorted(_sources(folder)):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(folder):
        names[:] = [name for name in names if name not in UNRELATED]
        yield from (Path(directory) / file for file in files)


def _packages_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        path = folder / name
        digest.update(path.read_bytes() if path.exists() else b"-")
    return digest.hexdigest()


def _make(root: Path, made: NpmFolder, node: Node) -> None:
    folder = root / made.folder
    hashed = sources_hash(folder)
    _install(root, made, node, with_checks=False)
    if made.script is not None:
        _npm(node, folder, log_path(root, made), "run", made.script)
    if not (folder / made.result).exists():
        raise PrepareError(f"npm made no {made.folder}/{made.result}: see {log_path(root, made)}.")
    _stamp(root, made).write(hashed)


def _install(root: Path, made: NpmFolder, node: Node, *, with_checks: bool) -> None:
    """The build needs half of the packages; the half for checks is left out until somebody checks."""
    folder, log = root / made.folder, log_path(root, made)
    stamp, hashed = Stamp(root / ".venv" / "stamp" / f"{made.name}-packages"), _packages_hash(folder)
    enough = [f"{hashed} with checks", *([] if with_checks else [hashed])]
    if (folder / "node_modules").is_dir() and any(stamp.is_current(found) for found in enough):
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    # Spotlight's packages have nothing to run at install, and shall not.
    flags = ["--no-audit", "--no-fund", *([] if made.script else ["--ignore-scripts"])]
    _npm(node, folder, log, "ci", *flags, *([] if with_checks else ["--omit=dev"]))
    stamp.write(enough[0] if with_checks else hashed)


def _npm(node: Node, folder: Path, log: Path, *args: str) -> None:
    with log.open("ab") as file:
        file.write(f"$ npm {' '.join(args)}\n".encode())
        file.flush()
        command = node.npm_command(*args)
        done = subprocess.run(
            command, cwd=folder, env=node.environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False
        )
    if done.returncode != 0:
        raise PrepareError(f"`npm {' '.join(args)}` failed in {folder}: see {log}.")


def excerpt(log: str) -> list[str]:
    """What the last command said, without the stack of the program that says it."""
    lines = log.rpartition("\n$ npm ")[2].splitlines()
    return [line for line in lines if line.strip() and not line.startswith("    at ")][:EXCERPT_LINES]


@dataclass(frozen=True)
class Stamp:
    path: Path

    def is_current(self, hashed: str) -> bool:
        return self.path.exists() and self.path.read_text() == hashed

    def write(self, hashed: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(hashed)


def _stamp(root: Path, made: NpmFolder) -> Stamp:
    return Stamp(root / ".venv" / "stamp" / made.name)


@contextmanager
def _alone(root: Path, made: NpmFolder) -> Generator[None]:
    path = root / ".venv" / "stamp" / f"{made.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _kill_group(_number: int, _frame: object) -> None:
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    root, what = Path(__file__).resolve().parents[2], sys.argv[1]
    if os.getpgrp() == os.getpid():  # started in the background: npm's own children end with us
        signal.signal(signal.SIGTERM, _kill_group)
    try:
        ensure_check_packages(root) if what == CHECKS else ensure(root, FOLDERS[what])
    except PrepareError as error:
        if what == FRONTEND.name and log_path(root, FRONTEND).exists():
            sys.stderr.write("".join(f"{line}\n" for line in excerpt(log_path(root, FRONTEND).read_text())))
        sys.exit(str(error))


if __name__ == "__main__":
    main()
