"""Which process is which: a pid alone may belong to somebody else by now.

A process is known by its pid and the mark of its start (boot and start time). Ours also carry `OWNER_SETTING` in
their environment, whose value is the state directory.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

OWNER_SETTING = "HOPLINE_OWNED_BY"


@dataclass(frozen=True)
class ProcessMark:
    pid: int
    start: str

    @property
    def is_alive(self) -> bool:
        """False too when the pid belongs to another process now, or only waits to be reaped."""
        return start_of(self.pid) == self.start


def mark_of(pid: int) -> ProcessMark | None:
    start = start_of(pid)
    return ProcessMark(pid, start) if start is not None else None


def start_of(pid: int) -> str | None:
    """Differs for every process that ever bears this pid; None when there is none."""
    if not sys.platform.startswith("linux"):
        try:
            return f"{psutil.Process(pid).create_time():.2f}"
        except psutil.Error:
            return None
    try:
        # The second field, the program's name, may hold spaces and parentheses: the rest starts after the last one.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    if fields[0] in {"Z", "X"}:
        return None
    return f"{boot}/{fields[19]}"


def is_owned_by(process: psutil.Process, state_dir: Path) -> bool:
    """False as well when the process is another person's, whose environment can't be read."""
    try:
        return process.environ().get(OWNER_SETTING) == str(state_dir)
    except (psutil.Error, OSError):
        return False
