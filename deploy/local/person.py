"""`make person NAME=anna`: one more person with an API key, in the database of the Hopline that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .child_environment import child_environment
from .errors import LauncherError
from .process_table import BY_NAME
from .secret_file import load_secrets
from .settings import foreign_environment, read_settings
from .state_lock import holder_of


def add_person(root: Path, name: str) -> int:
    """The exit code of the gateway's own command, which prints the key.

    Raises:
        LauncherError: nothing runs.
    """
    settings = read_settings(root)
    launcher = holder_of(settings.state_dir)
    if launcher is None:
        raise LauncherError(f"Nothing runs on {settings.state_dir}: start it with `make run` first.")
    values = child_environment(
        BY_NAME["gateway"],
        root=root,
        state_dir=settings.state_dir,
        ports=launcher.ports,
        secrets=load_secrets(settings.state_dir),
        given=settings.values,
        viewer_runs=False,
    )
    command = [sys.executable, "-m", "gateway.people", "add", name]
    return subprocess.run(command, cwd=root, env=foreign_environment() | values, check=False).returncode
