"""`make logs`: the last lines of all processes or of one, and what comes."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from pathlib import Path

from .errors import LauncherError
from .settings import read_settings
from .state_lock import holder_of

LAST = 200
POLL_S = 0.2


def show_logs(root: Path, *, name: str | None) -> int:
    """Follows while Hopline runs; Ctrl-C ends the view and nothing else.

    Raises:
        LauncherError: there is no log yet.
    """
    state_dir = read_settings(root).state_dir
    path = state_dir / "logs" / "hopline.log"
    if not path.exists():
        raise LauncherError(f"There is no log in {path.parent} yet: it comes with `make run`.")
    try:
        _follow(path, state_dir, name)
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    return 0


def _follow(path: Path, state_dir: Path, name: str | None) -> None:
    file = path.open(encoding="utf-8", errors="replace")
    for line in deque((line for line in file if is_of(line, name)), LAST):
        sys.stdout.write(line)
    while holder_of(state_dir) is not None:
        sys.stdout.flush()
        line = file.readline()
        if line:
            sys.stdout.write(line if is_of(line, name) else "")
        elif path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino:  # rotated
            file.close()
            file = path.open(encoding="utf-8", errors="replace")
        else:
            time.sleep(POLL_S)
    file.close()


def is_of(line: str, name: str | None) -> bool:
    return name is None or line.partition(" | ")[0].strip() == name
