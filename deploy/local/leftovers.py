"""Ends what a launcher left behind that could not end it itself.

Called only while the lock on the state directory is held: whatever carries our mark then belongs to nobody. The
mark lies in the environment, which a process can't be given by accident, so a reused pid is never mistaken.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import psutil

from .identity import is_owned_by

GRACE_S = 5.0
WAIT_S = 5.0


def owned_processes(state_dir: Path) -> list[psutil.Process]:
    """The topmost of ours, without the children that they end themselves (PostgreSQL's backends)."""
    ours = {process.pid: process for process in psutil.process_iter() if is_owned_by(process, state_dir)}
    return [process for process in ours.values() if _parent_of(process) not in ours]


def end_leftovers(state_dir: Path) -> list[str]:
    """Names of what was ended; nothing of this state directory runs afterwards."""
    ended: list[str] = []
    for _ in range(3):  # ending a parent may leave children, which are topmost then
        found = owned_processes(state_dir)
        if not found:
            break
        ended += [_describe(process) for process in found]
        _end(found)
    return ended


def _end(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        _send(process, signal.SIGINT if _is_postgres(process) else signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=GRACE_S)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=WAIT_S)


def free_postgres_folder(data: Path) -> None:
    """No server runs on it and no `postmaster.pid` is left: PostgreSQL refuses to start beside one whose number is
    alive, whoever bears it now.
    """
    pid_file = data / "postmaster.pid"
    server = _server_of(pid_file)
    if server is not None:
        _end([server])
    pid_file.unlink(missing_ok=True)


def _server_of(pid_file: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        ours = _is_postgres(process) and Path(process.cwd()) == pid_file.parent.resolve()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if ours else None


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)  # checks the start time itself
    except psutil.Error:
        return


def _parent_of(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def _is_postgres(process: psutil.Process) -> bool:
    try:
        return process.name() == "postgres"
    except psutil.Error:
        return False


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"
