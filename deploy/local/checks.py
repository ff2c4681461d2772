"""`make check` and `make test`: every check, all told at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .browser import ensure_chromium
from .errors import PrepareError
from .locks import differences
from .node import find_node
from .npm_build import FRONTEND, ensure, ensure_check_packages

IMPORT_CONTRACTS = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


@dataclass(frozen=True)
class Check:
    name: str
    command: Sequence[str]
    folder: str = "."


def check(root: Path) -> int:
    """The number of failed checks, at most 1."""
    failed: list[str] = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        page = pool.submit(_run_page_checks, root)
        failed += [one.name for one in _python_checks() if not _passes(root, one)]
        wrong = differences(root)
        failed += page.result()
    for sentence in wrong:
        sys.stdout.write(f"{sentence}\n")
    failed += ["lock files"] if wrong else []
    sys.stdout.write(f"failed: {', '.join(failed)}\n" if failed else "all checks passed\n")
    return 1 if failed else 0


def test(root: Path, arguments: Sequence[str]) -> int:
    """Becomes pytest, with all that the tests need prepared.

    Raises:
        PrepareError: the page or a browser is not to be had.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        page = pool.submit(ensure, root, FRONTEND)
        ensure_chromium()
        page.result()
    sys.stdout.flush()
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606


def bench(root: Path, arguments: Sequence[str]) -> int:
    """Becomes the benchmarks; see bench/README.md."""
    sys.stdout.flush()
    os.chdir(root)
    env = os.environ | {"PYTHONPATH": f"{root / 'deploy'}{os.pathsep}{root}"}
    os.execve(sys.executable, [sys.executable, "-m", "bench", *arguments], env)  # noqa: S606


def _python_checks() -> list[Check]:
    python = [sys.executable, "-m"]
    return [
        Check("ruff check", [*python, "ruff", "check", "."]),
        Check("ruff format", [*python, "ruff", "format", "--check", "."]),
        Check("pyright", [*python, "pyright"]),
        Check("import contracts", [sys.executable, "-c", IMPORT_CONTRACTS]),
    ]


def _run_page_checks(root: Path) -> list[str]:
    """Names of those that failed."""
    package = root / FRONTEND.folder / "package.json"
    scripts = json.loads(package.read_text()).get("scripts", {}) if package.exists() else {}
    wanted = [name for name in ("check", "test") if name in scripts]
    if not wanted:
        return []
    try:
        ensure_check_packages(root)
        node = find_node(root)
    except PrepareError as error:
        sys.stdout.write(f"{error}\n")
        return ["page"]
    checks = [Check(f"page {name}", node.npm_command("run", "--silent", name), FRONTEND.folder) for name in wanted]
    return [one.name for one in checks if not _passes(root, one, env=node.environment())]


def _passes(root: Path, one: Check, *, env: dict[str, str] | None = None) -> bool:
    started = time.monotonic()
    done = subprocess.run(
        one.command,
        cwd=root / one.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    verdict = "ok" if done.returncode == 0 else "FAILED"
    said = "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"
    sys.stdout.write(f"{said}{one.name}: {verdict} ({time.monotonic() - started:.1f} s)\n")
    sys.stdout.flush()
    return done.returncode == 0
