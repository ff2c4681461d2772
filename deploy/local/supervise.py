"""Starts again what died, for as long as the stack runs. Only `make run` does this: a test wants the dead to stay."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Container

from .backoff import QUICK_S, Backoff
from .console import Console
from .errors import LauncherError
from .stack import Stack

POLL_S = 0.2


class Supervisor:
    """`note_end` may be called from any thread from the beginning; `run` acts on it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ends: queue.Queue[tuple[str, int | None]] = queue.Queue()
        self._backoff = Backoff()
        self._due: dict[str, float] = {}
        self._started: dict[str, float] = {}

    def note_end(self, name: str, code: int | None) -> None:
        self._ends.put((name, code))

    def run(self, stack: Stack, stop: threading.Event, *, needed: Container[str]) -> None:
        """Returns when `stop` is set. Of what ended during the start only the `needed` are started again."""
        self._started = dict.fromkeys(stack.pids, time.monotonic())
        while not self._ends.empty():
            name, code = self._ends.get()
            if name in needed:
                self._plan(stack, name, code)
        while not stop.wait(POLL_S):
            while not self._ends.empty():
                self._plan(stack, *self._ends.get())
            for name in [name for name, at in self._due.items() if at <= time.monotonic()]:
                del self._due[name]
                self._start(stack, name)

    def _plan(self, stack: Stack, name: str, code: int | None) -> None:
        lived_s = time.monotonic() - self._started.get(name, 0.0)
        delay_s = self._backoff.delay_s(name, lived_s=lived_s)
        last = stack.last_words(name)
        if delay_s is None:
            self._console.problem(
                f"{name} ended again within {QUICK_S:.0f} s of its start and stays down; the rest runs on. "
                f"It last said: {last}"
            )
            return
        self._console.problem(f"{name} ended ({_how(code)}); starting it again in {delay_s:g} s")
        self._due[name] = time.monotonic() + delay_s

    def _start(self, stack: Stack, name: str) -> None:
        self._started[name] = time.monotonic()
        try:
            stack.start(name)
        except LauncherError as error:
            self._console.problem(str(error))
            self.note_end(name, None)


def _how(code: int | None) -> str:
    if code is None:
        return "could not start"
    return f"signal {-code}" if code < 0 else f"exit {code}"
