"""One readable log of all processes: on the terminal, and in a file of bounded size.

Never in the way of the processes: when the terminal stands still (Ctrl-S, a slow pipe) lines are dropped and counted
rather than waited for, because a process whose output nobody takes stops working.
"""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import TextIO

from .process_table import NAMES

LAUNCHER = "hopline"
WIDTH = max(map(len, NAMES))
WAITING_LINES = 10_000
COLOURS = dict(zip(NAMES, ("94", "35", "33", "95", "36", "96", "32", "92", "34"), strict=True))
PROBLEM = "31"
LONGEST_FILE = 8 * 1024 * 1024


class BoundedLog:
    """Appends; what is older than the last 8 to 16 MB is gone."""

    def __init__(self, path: Path, *, longest: int = LONGEST_FILE) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path, self._longest = path, longest
        self._file = path.open("a", encoding="utf-8", buffering=1)
        path.chmod(0o600)

    def write(self, line: str) -> None:
        if self._file.tell() > self._longest:
            self._file.close()
            self._path.replace(self._path.with_suffix(".1.log"))
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
            self._path.chmod(0o600)
        self._file.write(line)

    def close(self) -> None:
        self._file.close()


class Console:
    def __init__(self, terminal: TextIO, log: BoundedLog, *, colour: bool, since: float) -> None:
        self._terminal, self._log, self._colour, self._since = terminal, log, colour, since
        self._lines: queue.Queue[tuple[str, str, str] | None] = queue.Queue(WAITING_LINES)
        self._dropped = 0
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def line(self, name: str, text: str) -> None:
        """One line of a process; any thread."""
        self._put(name, text, COLOURS.get(name.removesuffix("-migrate"), "37"))

    def progress(self, text: str) -> None:
        self._put(LAUNCHER, f"{time.time() - self._since:5.1f} s  {text}", "1")

    def say(self, text: str) -> None:
        self._put(LAUNCHER, text, "1")

    def problem(self, text: str) -> None:
        self._put(LAUNCHER, text, PROBLEM)

    def close(self) -> None:
        """What was said is written."""
        self._lines.put(None)
        self._writer.join(timeout=3.0)

    def _put(self, name: str, text: str, colour: str) -> None:
        try:
            self._lines.put_nowait((name, text, colour))
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        while (entry := self._lines.get()) is not None:
            name, text, colour = entry
            self._log.write(f"{name:<{WIDTH}} | {text}\n")
            self._show(name, text, colour)
            if self._lines.empty():
                self._tell_dropped()
        self._tell_dropped()
        self._log.close()

    def _tell_dropped(self) -> None:
        count, self._dropped = self._dropped, 0
        if count:
            self._show(LAUNCHER, f"{count} lines were dropped: the terminal was too slow", PROBLEM)

    def _show(self, name: str, text: str, colour: str) -> None:
        prefix = f"{name:<{WIDTH}} |"
        if self._colour:
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
            text = f"\x1b[{colour}m{text}\x1b[0m" if colour in {"1", PROBLEM} else text
        try:
            self._terminal.write(f"{prefix} {text}\n")
            self._terminal.flush()
        except (OSError, ValueError):  # the terminal was closed; the file goes on
            return
