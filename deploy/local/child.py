"""One process of a stack: spawned, read, watched, ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LogSink = Callable[[str, str], None]
"""Called with the process's name and one line, from a thread of that process."""

TAIL_LINES = 40
LONGEST_LINE = 64 * 1024
KILL_WAIT_S = 5.0
ERROR_LINE = re.compile(r"[\w.]*(Error|Exception|Wrong setting)\b.*:")
EXEC_CHILD = Path(__file__).with_name("exec_child.py")


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run, and as whom (`exec_child` explains the identities)."""

    args: Sequence[str]
    cwd: Path
    identity: str = "same"
    death_signal: signal.Signals = signal.SIGTERM

    def wrapped(self) -> list[str]:
        wrapper = [sys.executable, "-I", "-S", str(EXEC_CHILD), str(os.getpid()), str(int(self.death_signal))]
        return [*wrapper, self.identity, *self.args]


class Child:
    """Runs from its making on. Make it in a thread that lives as long as the child may: on Linux the end of the
    thread that forked is what a child takes for the death of its parent.
    """

    def __init__(
        self,
        name: str,
        command: Command,
        env: Mapping[str, str],
        *,
        log: LogSink,
        on_end: Callable[[Child], None],
    ) -> None:
        self.name = name
        self.started_at = time.monotonic()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._log = log
        self._on_end = on_end
        self._gone = threading.Event()
        self._process = subprocess.Popen(
            command.wrapped(),
            cwd=command.cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches the launcher alone, which ends the rest in order
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        threading.Thread(target=self._await_end, daemon=True).start()

    @property
    def is_running(self) -> bool:
        return not self._gone.is_set()

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it is gone."""
        return self._gone.wait(timeout_s)

    def send(self, number: signal.Signals) -> None:
        if self.is_running:
            self._process.send_signal(number)

    def end(self, first: signal.Signals, grace_s: float) -> None:
        """Gone afterwards, by SIGKILL to its whole group if need be."""
        self.send(first)
        if not self._gone.wait(grace_s):
            self.kill()

    def kill(self) -> None:
        if self.is_running:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
        self._gone.wait(KILL_WAIT_S)

    def last_words(self) -> str:
        """The line that says most of why it ended, for a sentence: the last error, else the last line."""
        said = [line.strip() for line in self.tail if line.strip()]
        errors = [line for line in said if ERROR_LINE.match(line)]
        return next(reversed(errors or said), "it said nothing")

    def _await_end(self) -> None:
        self._process.wait()
        # What it wrote last is read before anyone is told of its end; a grandchild may keep the pipe open.
        self._reader.join(timeout=1.0)
        self._gone.set()
        self._on_end(self)

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while raw := stream.readline(LONGEST_LINE):
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                self.tail.append(line)
                self._log(self.name, line)
