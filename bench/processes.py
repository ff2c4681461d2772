"""What processes have used: CPU seconds and memory, as Linux counts them."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and of its children, those that have ended included."""
    ended_children = sum(float(field) for field in _stat(pid)[13:15]) / TICKS_PER_S
    return own_cpu_seconds(pid) + ended_children + sum(cpu_seconds(child) for child in _children(pid))


def own_cpu_seconds(pid: int) -> float:
    """Of all its threads, to the nanosecond: `/proc/<pid>/stat` counts in ticks of 10 ms, longer than an answer takes.

    See: clock_getcpuclockid(3); the id of a process's clock is made from its pid.
    """
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def pss_mib(pid: int) -> float:
    """Its share of memory: what it shares with others is divided among them."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
    return own + sum(pss_mib(child) for child in _children(pid))


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def _stat(pid: int) -> list[str]:
    """The fields after the command, which may hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
