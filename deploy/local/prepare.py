"""Makes `.venv` and goes on inside it; run by `bootstrap.py` with the machine's Python. Standard library only.

What is done already is skipped by a stamp: the hash of the lock file, of the members' pyproject files and of this
Python. The page and the trace viewer are built by npm beside the installation of the Python packages.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .errors import PrepareError
from .node import node_on_path
from .npm_build import FOLDERS, is_current

ROOT = Path(__file__).resolve().parents[2]

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MEMBERS = ("shared", "services/gateway", "services/chat", "services/tracking")
OLDEST_PYTHON = (3, 11)
LOCKS = {"run": "requirements/run.txt", "dev": "requirements/dev.txt"}
UV = "uv>=0.9,<1"

# What each command needs; those that are not here use what there is.
NEEDS = {"run": "run", "test": "dev", "check": "dev", "bench": "dev", "lock": "dev"}
BUILDS = {"run": ("frontend", "spotlight"), "test": ("frontend", "spotlight")}


class Clock:
    """Progress with the seconds since the start, in the form of the log that follows."""

    def __init__(self) -> None:
        self.since = time.time()

    def say(self, text: str) -> None:
        sys.stdout.write(f"hopline         | {time.time() - self.since:5.1f} s  {text}\n")
        sys.stdout.flush()


def wanted_stamp(kind: str) -> str:
    digest = hashlib.sha256(f"{sys.version} {ROOT} {UV}".encode())
    for name in (LOCKS[kind], *(f"{member}/pyproject.toml" for member in MEMBERS)):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_prepared(kind: str) -> bool:
    """The environment for development has all that a run needs."""
    kinds = ("run", "dev") if kind == "run" else (kind,)
    return PYTHON.exists() and any(_read(VENV / "stamp" / name) == wanted_stamp(name) for name in kinds)


def prepare(kind: str, clock: Clock) -> None:
    """Raises:
    PrepareError: with the step and its log.
    """
    missing = [name for name in LOCKS.values() if not (ROOT / name).exists()]
    if missing:
        raise PrepareError(f"{missing[0]} is missing: check the clone, or make it with `make lock`.")
    folder = os.open(ROOT, os.O_RDONLY)  # two commands started at once prepare one after the other
    fcntl.flock(folder, fcntl.LOCK_EX)
    if is_prepared(kind):
        return
    _make_venv(clock)
    uv = [str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(PYTHON)]
    clock.say("installing the Python packages")
    # Compiled once here instead of by five processes at once, and also where PYTHONDONTWRITEBYTECODE is set, which
    # would make every start compile anew.
    _run("packages", [*uv, "--compile-bytecode", "--require-hashes", "-r", LOCKS[kind]])
    editable = [part for member in MEMBERS for part in ("-e", member)]
    _run("members", [*uv, "--no-deps", "--no-build-isolation", *editable])
    stamp = VENV / "stamp" / kind
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(wanted_stamp(kind))
    clock.say("the Python packages are there")


def start_builds(names: tuple[str, ...]) -> list[int]:
    """In the background, each in a session of its own that ends with this process; asked for again when needed."""
    if node_on_path() is None and not (VENV / "bin" / "uv").exists():
        return []  # node comes as a wheel then, once there is something to install it with
    local = ROOT / "deploy" / "local"
    pids: list[int] = []
    for name in (name for name in names if not is_current(ROOT, FOLDERS[name])):
        wrapper = [sys.executable, "-I", "-S", str(local / "exec_child.py"), str(os.getpid()), "15", "same"]
        build = subprocess.Popen(
            [*wrapper, sys.executable, str(local / "npm_build.py"), name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        pids.append(build.pid)
    return pids


def _make_venv(clock: Clock) -> None:
    if (VENV / "bin" / "uv").exists() and _works(PYTHON):
        return
    if importlib.util.find_spec("ensurepip") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        raise PrepareError(f"Python's venv module is missing: install it, e.g. `apt install python{version}-venv`.")
    clock.say("making the environment in .venv")
    if not _works(PYTHON):  # its Python is gone: all but the logs and the stamps of what npm made
        for name in ("bin", "include", "lib", "lib64", "pyvenv.cfg", "stamp/run", "stamp/dev"):
            _remove(VENV / name)
    _run("venv", [sys.executable, "-m", "venv", str(VENV)])
    _run("uv", [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV])


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    new_enough = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    return subprocess.run([str(python), "-c", new_enough], capture_output=True, check=False).returncode == 0


def _run(step: str, command: list[str]) -> None:
    log = VENV / "log" / f"{step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    with log.open("wb") as file:
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise PrepareError(f"`{Path(command[0]).name} … {command[-1]}` failed: {said[-1]} (all of it: {log}).")


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    clock = Clock()
    kind = NEEDS.get(command)
    builds: list[int] = []
    try:
        if kind is not None and not (command == "lock" and PYTHON.exists()):
            VENV.mkdir(exist_ok=True)
            builds = start_builds(BUILDS.get(command, ()))
            prepare(kind, clock)
    except PrepareError as error:
        sys.exit(f"hopline: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if not PYTHON.exists():
        sys.exit("Nothing is prepared here yet: `make run` does that, and starts Hopline.")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "deploy"), "BOOTSTRAP_STARTED_AT": str(clock.since)}
    env["BOOTSTRAP_BUILDS"] = " ".join(map(str, builds))
    os.execve(PYTHON, [str(PYTHON), "-m", "local", *sys.argv[1:]], env)  # noqa: S606
