"""The Python lock files: `make lock` writes them, `make check` compares them with a fresh export.

They are exports with hashes and without addresses: uv's own lock file names the registry it was made with. So the
versions that are committed are given to a fresh resolution as constraints; what comes out must be the same text.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import PrepareError

FILES = {
    "requirements/run.txt": ("--no-dev", "--group", "local"),
    "requirements/dev.txt": ("--all-groups",),
    # The images hold no more than they need.
    "requirements/services.txt": ("--no-dev",),
    "requirements/local-model.txt": ("--only-group", "model"),
    "requirements/build.txt": ("--only-group", "build"),
}
MEMBERS = ("shared", "services/gateway", "services/chat", "services/tracking")
EXPORT = ("export", "--no-emit-workspace", "--no-header", "--no-annotate", "--format", "requirements-txt")
PIN = re.compile(r"^(?P<pin>[A-Za-z0-9][^\s;]*==[^\s;]+)\s*(?P<marker>;[^\\]*)?", re.MULTILINE)


def write(root: Path, *, upgrade: str | None) -> int:
    """The lock files fit the pyproject files; versions stay as they are where they can, unless `upgrade` is set."""
    constraints = [] if upgrade else _committed_pins(root)
    try:
        texts = _export(root, constraints)
    except PrepareError:
        texts = _export(root, [])  # a committed version does not fit any more
    for name, text in texts.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return 0


def differences(root: Path) -> list[str]:
    """One sentence for each lock file that is not what `make lock` would write."""
    try:
        texts = _export(root, _committed_pins(root))
    except PrepareError as error:
        return [f"The lock files don't fit the pyproject files (`make lock`): {error}"]
    return [
        f"{name} is not current: run `make lock`."
        for name, text in texts.items()
        if not (root / name).exists() or (root / name).read_text() != text
    ]


def pins(text: str) -> list[str]:
    """The requirements of an export, without hashes."""
    return [f"{found['pin']} {(found['marker'] or '').strip()}".strip() for found in PIN.finditer(text)]


def _committed_pins(root: Path) -> list[str]:
    found = {pin for name in FILES if (root / name).exists() for pin in pins((root / name).read_text())}
    return sorted(found)


def _export(root: Path, constraints: Sequence[str]) -> dict[str, str]:
    """Resolved in a copy that has no lock file of uv's.

    Raises:
        PrepareError: there is no solution.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        _copy_workspace(root, copy, constraints)
        return {name: _uv(root, copy, *EXPORT, *flags) for name, flags in FILES.items()}


def _copy_workspace(root: Path, copy: Path, constraints: Sequence[str]) -> None:
    for member in MEMBERS:
        (copy / member).mkdir(parents=True)
        shutil.copy(root / member / "pyproject.toml", copy / member)
    quoted = "".join(f"  {json.dumps(pin)},\n" for pin in constraints)
    text = (root / "pyproject.toml").read_text()
    assert "[tool.uv]\n" in text
    listed = f"[tool.uv]\nconstraint-dependencies = [\n{quoted}]\n" if constraints else "[tool.uv]\n"
    (copy / "pyproject.toml").write_text(text.replace("[tool.uv]\n", listed, 1))


def _uv(root: Path, copy: Path, *args: str) -> str:
    uv = root / ".venv" / "bin" / "uv"
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON": str(root / ".venv" / "bin" / "python")}
    done = subprocess.run([str(uv), "--quiet", *args], cwd=copy, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PrepareError(done.stderr.strip())
    return done.stdout
