"""One stack a state directory: a lock that the system frees when its holder dies, however it dies.

The file also says who holds it, for `make stop` and for the sentence that a second start prints.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import AlreadyRunning, SettingError
from .identity import ProcessMark, mark_of


@dataclass(frozen=True)
class Holder:
    mark: ProcessMark
    ports: Mapping[str, int]


class StateLock:
    """Held from its making to `release()`.

    Raises:
        AlreadyRunning: another process holds it.
    """

    def __init__(self, state_dir: Path, ports: Mapping[str, int]) -> None:
        make_state_dir(state_dir)
        self._descriptor = os.open(_path(state_dir), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise AlreadyRunning(_running_sentence(state_dir)) from None
        mark = mark_of(os.getpid())
        assert mark is not None
        text = json.dumps({"pid": mark.pid, "start": mark.start, "ports": dict(ports)})
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def release(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def make_state_dir(state_dir: Path) -> None:
    """It is there, closed to others, and all in it is ours.

    Raises:
        SettingError: it can't be made, or something in it belongs to another user, as after a start with sudo.
    """
    try:
        state_dir.parent.mkdir(parents=True, exist_ok=True)
        state_dir.mkdir(mode=0o700, exist_ok=True)
        found = [state_dir, *state_dir.glob("*"), *state_dir.glob("*/*")]
    except OSError as error:
        raise SettingError(f"{state_dir} can't be used ({error.strerror}): set HOPLINE_STATE_DIR.") from error
    me = os.geteuid()
    strange = next((path for path in found if me != 0 and path.stat().st_uid != me), None)
    if strange is not None:
        raise SettingError(f"{strange} belongs to another user: `sudo chown -R {me} {state_dir}` gives it to you.")


def holder_of(state_dir: Path) -> Holder | None:
    """Who runs a stack on this directory now."""
    try:
        found = json.loads(_path(state_dir).read_text())
        mark = ProcessMark(int(found["pid"]), str(found["start"]))
        ports = {str(name): int(port) for name, port in found["ports"].items()}
    except (OSError, ValueError, KeyError):
        return None
    return Holder(mark, ports) if mark.is_alive else None


def _path(state_dir: Path) -> Path:
    return state_dir / "launcher.lock"


def _running_sentence(state_dir: Path) -> str:
    holder = holder_of(state_dir)
    who = f" (pid {holder.mark.pid})" if holder else ""
    return (
        f"Hopline runs already on {state_dir}{who}: end it with `make stop`, "
        "or set HOPLINE_STATE_DIR and the ports for a second copy."
    )
