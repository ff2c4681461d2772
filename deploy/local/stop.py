"""`make stop` and `make clean`."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path

import psutil

from .errors import AlreadyRunning, LauncherError
from .leftovers import end_leftovers
from .postgres_home import elsewhere
from .settings import read_settings
from .state_lock import StateLock, holder_of

STOP_S = 60.0
MADE = (".venv", "frontend/node_modules", "frontend/dist", "deploy/local/spotlight/node_modules")


def stop(root: Path) -> int:
    """Nothing of this state directory runs afterwards, also when its launcher was killed."""
    state_dir = read_settings(root).state_dir
    if not state_dir.exists():
        return _say(f"Nothing runs on {state_dir}.")
    holder = holder_of(state_dir)
    if holder is not None:
        launcher = psutil.Process(holder.mark.pid)
        launcher.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while holder.mark.is_alive:
            if time.monotonic() > deadline:
                launcher.kill()
            time.sleep(0.05)
    lock = StateLock(state_dir, {})
    ended = end_leftovers(state_dir)
    lock.release()
    return _say("Hopline is stopped." if holder or ended else f"Nothing runs on {state_dir}.")


def clean(root: Path, *, data: str | None) -> int:
    """What can be made again is gone; with `data` set the state directory too."""
    state_dir = read_settings(root).state_dir
    if state_dir.exists():
        try:
            StateLock(state_dir, {}).release()
        except AlreadyRunning as error:
            raise LauncherError(f"Not while it runs. {error}") from None
    if data:
        shutil.rmtree(elsewhere(state_dir), ignore_errors=True)
        shutil.rmtree(state_dir, ignore_errors=True)
    for name in MADE:
        shutil.rmtree(root / name, ignore_errors=True)
    kept = (
        "" if data or not state_dir.exists() else f" The data stays in {state_dir}: `make clean DATA=1` removes it too."
    )
    return _say(f"Removed what `make run` makes again.{kept}")


def _say(sentence: str) -> int:
    sys.stdout.write(f"{sentence}\n")
    return 0
