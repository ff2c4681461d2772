"""`make run`: the story of one start, until somebody stops it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .console import BoundedLog, Console
from .errors import LauncherError, StartError, Stopped
from .npm_build import FRONTEND, SPOTLIGHT, NpmFolder, is_current
from .ports import require_free
from .process_table import PROCESSES, SERVICES
from .settings import LOOPBACK, LauncherSettings, environment, read_settings
from .stack import Stack
from .state_lock import make_state_dir
from .supervise import Supervisor

START_S = 60.0
SPOTLIGHT_WAIT_S = 90.0
SPOTLIGHT_READY_S = 10.0


def run(root: Path) -> int:
    """The exit code: 0 after a stop that was asked for, 1 when the start failed."""
    settings = read_settings(root)
    make_state_dir(settings.state_dir)
    console = _console(settings)
    supervisor = Supervisor(console)
    try:
        stack = Stack(
            root,
            state_dir=settings.state_dir,
            ports=settings.ports,
            env=settings.values,
            log_sink=console.line,
            on_exit=supervisor.note_end,
        )
    except LauncherError as error:
        console.problem(str(error))
        console.close()
        return 1
    return Run(stack, settings, console, supervisor).until_stopped()


def _console(settings: LauncherSettings) -> Console:
    env = environment()
    colour = sys.stdout.isatty() and "NO_COLOR" not in env
    log = BoundedLog(settings.state_dir / "logs" / "hopline.log")
    return Console(sys.stdout, log, colour=colour, since=float(env.get("BOOTSTRAP_STARTED_AT", time.time())))


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


class Run:
    def __init__(self, stack: Stack, settings: LauncherSettings, console: Console, supervisor: Supervisor) -> None:
        self._stack, self._settings, self._console, self._supervisor = stack, settings, console, supervisor
        self._stop = threading.Event()
        self._asked = 0

    def until_stopped(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        for pid in environment().get("BOOTSTRAP_BUILDS", "").split():  # our children, which somebody has to reap
            threading.Thread(target=_reap, args=(int(pid),), daemon=True).start()
        failed: list[LauncherError] = []
        starter = threading.Thread(target=self._start_or_note, args=(failed,), daemon=True)
        starter.start()
        while starter.is_alive() and not self._stop.is_set():
            starter.join(0.1)
        if not failed and not self._stop.is_set():
            self._supervisor.run(self._stack, self._stop, needed=SERVICES)
        if self._asked:
            self._console.say("stopping; once more Ctrl-C kills everything")
        for error in failed:
            self._console.problem(str(error))
        self._stack.close()
        self._console.say("stopped" if not failed else "stopped: the start failed")
        self._console.close()
        return 1 if failed else 0

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._asked += 1
        self._stop.set()
        if self._asked > 1:
            threading.Thread(target=self._stack.kill_all, daemon=True).start()

    def _start_or_note(self, failed: list[LauncherError]) -> None:
        try:
            self._start()
        except Stopped:
            return
        except LauncherError as error:
            failed.append(error)
        except Exception as error:  # the end of this thread's work: a bug must not leave a silent launcher
            failed.append(StartError(f"The launcher failed: {type(error).__name__}: {error}"))
            raise

    def _start(self) -> None:
        stack, settings, console = self._stack, self._settings, self._console
        for name in stack.leftovers:
            console.progress(f"ended a leftover of an earlier start: {name}")
        for process in PROCESSES:
            if settings.runs(process):
                require_free(process, settings.bind_of(process), settings.ports[process.name])
        if settings.uses_local_model:
            stack.start("local-model")
        # Not in a `with`: a failure is told at once, and closing the stack ends what these threads wait for.
        pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix="prepare")
        viewer = pool.submit(self._spotlight)
        page = pool.submit(self._built, FRONTEND, "the page")
        databases = pool.submit(self._databases)
        pool.shutdown(wait=False)
        databases.result()
        viewer_runs = viewer.result(timeout=SPOTLIGHT_WAIT_S)  # decides where the services send their traces
        for name in SERVICES:
            if name != "gateway":
                stack.start(name)
        page.result()
        stack.start("gateway")
        model = ["local-model"] if settings.uses_local_model else []
        stack.wait_all_ready([*model, *SERVICES], timeout_s=START_S)
        self._say_ready(viewer_runs=viewer_runs and self._viewer_is_ready())

    def _databases(self) -> None:
        self._stack.start_databases()
        self._console.progress("the databases are up")
        self._stack.migrate()
        self._console.progress("the tables are current")

    def _spotlight(self) -> bool:
        """Whether it runs. Its absence is a warning: never in the way of a start."""
        if not self._settings.uses_spotlight:
            return False
        try:
            self._built(SPOTLIGHT, "the trace viewer")
            self._stack.start("spotlight")
            return True
        except Stopped:
            raise
        except LauncherError as error:
            self._console.problem(f"without the trace viewer: {error}")
            return False

    def _built(self, made: NpmFolder, what: str) -> None:
        """Made in a process of its own, which `close` can end; the bootstrap has started the same one before."""
        if is_current(self._stack.root, made):
            return
        self._console.progress(f"building {what}")
        program = Path(__file__).with_name("npm_build.py")
        child = self._stack.run_once(f"{made.name}-build", [sys.executable, str(program), made.name])
        if child.exit_code != 0:
            raise StartError(f"{what} was not built: {child.last_words()}")
        self._console.progress(f"{what} is built")

    def _viewer_is_ready(self) -> bool:
        try:
            self._stack.wait_ready("spotlight", timeout_s=SPOTLIGHT_READY_S)
        except StartError as error:
            self._console.problem(f"without the trace viewer: {error}")
            return False
        return True

    def _say_ready(self, *, viewer_runs: bool) -> None:
        values = self._settings.values
        bind = values.get("HOPLINE_BIND", LOOPBACK)
        if values.get("HOPLINE_SIGN_IN", "local") == "local" and bind not in {LOOPBACK, "localhost", "::1"}:
            self._console.problem(
                f"no sign-in, and open on {bind}: whoever reaches this address is the person 'local' "
                "(HOPLINE_SIGN_IN=keys asks for keys)"
            )
        traces = self._stack.url("spotlight") if viewer_runs else values.get("SENTRY_WEB_URL")
        suffix = f"   traces: {traces}" if traces else ""
        self._console.progress("all processes are ready")
        self._console.say(f"Hopline is ready: {self._stack.url('gateway')}{suffix}")
