"""A whole Hopline as processes of this machine: the one thing `make run`, tests/e2e and bench/ start.

    ports = free_ports()                                         # or a dict {"gateway": 8000, ...}; local.ports
    with Stack(root, state_dir=tmp, ports=ports, env={"SENTRY_DSN": dsn, "HOPLINE_MODELS": str(models)}) as stack:
        stack.start_databases()                                  # PostgreSQL, Valkey; the three databases exist
        stack.migrate()                                          # the three migrations, in parallel
        stack.start_services()                                   # all five, in parallel; returns when all are ready
        httpx.get(stack.url("gateway") + "/api/health")
        stack.kill("chat-worker")                                # SIGKILL; it stays down until start()
        stack.start("chat-worker"); stack.wait_ready("chat-worker")

The API is synchronous and may be called from any thread (`await asyncio.to_thread(stack.restart, "chat")`).

| call | then |
|---|---|
| `start_databases()` | PostgreSQL and Valkey accept connections, roles and databases exist |
| `migrate()` | every database is at its newest revision; `StartError` with the migration's last line otherwise |
| `start(name, env={})` | the process is spawned, not yet ready; `env` is added for this one start |
| `start_services(names=SERVICES)` | all of them are spawned at once, and ready |
| `wait_ready(name, timeout_s=30)` | its ready URL answered 200; `StartError` if it ended or the time is over |
| `stop(name)` | asked by its stop signal, killed after its grace period, gone; nothing if it was not running |
| `kill(name, signal=SIGKILL)` | the signal is sent; after SIGKILL the process is gone when this returns |
| `restart(name)` | `stop`, `start`, `wait_ready` |
| `add_copy(name, of=)` | a second process of a kind, e.g. `add_copy("gateway-2", of="gateway")` on a free port |
| `pids` | name → pid of those that run now |
| `env_for(name)` | the whole environment that the process gets |
| `url(name)` | `http://127.0.0.1:<port>` (databases: their URL with user and password) |
| `database_url(service)` | of "gateway", "chat", "tracking" |
| `log_tail(name)` | its last lines, newest last |
| `secrets` | the service key and passwords of this state directory |
| `close()` | everything ended in reverse order; idempotent |

Names are those of `local.process_table`: postgres, valkey, local-model, spotlight, tracking, tracking-worker,
chat, chat-worker, gateway. What is never started costs nothing. Children get the caller's environment without any
setting of Hopline's (HOPLINE_*, SENTRY_*, OPENAI_*, REDIS_URL), then what the stack makes, then `env`. Nothing is
restarted by itself here (that is `local.supervise`), so that a test sees what it killed stay dead.

A stack holds a lock on its state directory: two stacks never share one. A child dies with the process that made the
stack, even by SIGKILL, where the system can do that (Linux).
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from .child import Child, Command, LogSink
from .child_environment import admin_url, base_url, child_environment, database_url, redis_url
from .errors import StartError, Stopped
from .identity import OWNER_SETTING
from .leftovers import end_leftovers, free_postgres_folder
from .local_model import write_models_file
from .migration_stamp import MigrationStamps
from .ports import free_port
from .postgres import Postgres
from .postgres_home import find_home
from .process_table import BY_NAME, MIGRATIONS, SERVICES, Process
from .readiness import answers
from .secret_file import load_secrets
from .settings import LauncherSettings, foreign_environment
from .spotlight import spotlight_command
from .state_lock import StateLock
from .valkey import is_ready, server_binary, write_config

DATABASE_START_S = 60.0  # PostgreSQL may have to recover from a crash first
MIGRATION_S = 120.0
READY_POLL_S = 0.05
EXIT_WRONG_SETTING = 78
"""As in wire.process_settings; the launcher imports nothing of what it starts."""

Exit = Callable[[str, "int | None"], None]
"""Called with the name and the exit code when a process ends that nobody told to."""


def _end_sentence(child: Child) -> str:
    if child.exit_code == EXIT_WRONG_SETTING:
        return f"{child.last_words()} (said by {child.name}). Change it in .env or in the environment."
    return f"{child.name} ended at its start (exit {child.exit_code}): {child.last_words()}"


def _ignore_line(_name: str, _line: str) -> None:
    return


def _ignore_exit(_name: str, _code: int | None) -> None:
    return


class Stack:
    """See the module. `env` holds every setting that is to differ from what the stack makes itself.

    Raises:
        AlreadyRunning: another stack holds the state directory.
    """

    def __init__(
        self,
        root: Path,
        *,
        state_dir: Path,
        ports: Mapping[str, int],
        env: Mapping[str, str] | None = None,
        log_sink: LogSink = _ignore_line,
        on_exit: Exit = _ignore_exit,
    ) -> None:
        self.root = root.resolve()
        self.state_dir = state_dir.absolute()
        self.ports = dict(ports)
        self._given = {name: value for name, value in (env or {}).items() if value != ""}
        self._log = log_sink
        self._on_exit = on_exit
        self._processes: dict[str, Process] = dict(BY_NAME)
        self._children: dict[str, Child] = {}
        self._one_shots: list[Child] = []
        self._told_to_end: set[Child] = set()
        self._closing = threading.Event()
        self._guard = threading.RLock()
        self._postgres: Postgres | None = None
        self._databases: dict[str, str] = {}
        self._lock = StateLock(self.state_dir, self.ports)
        try:
            self.leftovers = end_leftovers(self.state_dir)
            self.secrets = load_secrets(self.state_dir)
        except BaseException:
            self._lock.release()
            raise
        # All children are forked by this one thread, which lives until `close()`: see Child.
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

    def __enter__(self) -> Stack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What runs, and where.

    @property
    def settings(self) -> LauncherSettings:
        return LauncherSettings(values=self._given, state_dir=self.state_dir, ports=self.ports)

    @property
    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in dict(self._children).items() if child.is_running}

    def is_running(self, name: str) -> bool:
        child = self._children.get(name)
        return child is not None and child.is_running

    def log_tail(self, name: str) -> list[str]:
        child = self._children.get(name)
        return list(child.tail) if child else []

    def last_words(self, name: str) -> str:
        child = self._children.get(name)
        return child.last_words() if child else "it never ran"

    def url(self, name: str) -> str:
        if name == "postgres":
            return admin_url(self.ports, self.secrets)
        if name == "valkey":
            return redis_url(self.ports, self.secrets)
        return base_url(self._processes[name], self.ports[name], self._given)

    def database_url(self, service: str) -> str:
        return database_url(service, self.ports, self.secrets)

    def env_for(self, name: str) -> dict[str, str]:
        """The whole environment; what was given wins over what the stack makes."""
        settings = self.settings
        if settings.uses_local_model:
            write_models_file(self.state_dir, self.ports["local-model"])
        values = child_environment(
            self._processes[name],
            root=self.root,
            state_dir=self.state_dir,
            ports=self.ports,
            secrets=self.secrets,
            given=self._given,
            viewer_runs=settings.uses_spotlight and self.is_running("spotlight"),
        )
        return foreign_environment() | values | self._mark()

    def _mark(self) -> dict[str, str]:
        return {OWNER_SETTING: str(self.state_dir)}

    # Starting.

    def start_databases(self) -> None:
        """Raises:
        PrepareError, StartError: with the reason.
        """
        settings = self.settings
        if settings.embeds_valkey:
            self.start("valkey")
        if settings.embeds_postgres:
            self.start("postgres")
            self.wait_ready("postgres", timeout_s=DATABASE_START_S)
            self._databases = self._cluster().make_databases()
        if settings.embeds_valkey:
            self.wait_ready("valkey", timeout_s=DATABASE_START_S)

    def migrate(self) -> None:
        """Every database is at its newest revision; those that are known to be are not asked.

        Raises:
            StartError: a migration failed; names it and its last line.
        """
        stamps = MigrationStamps(self.root, self.state_dir)
        due = stamps.due(self._databases)
        running = [
            self._start_one_shot(f"{owner}-migrate", self._python(module), self.env_for(owner))
            for owner, module in MIGRATIONS.items()
            if owner in due
        ]
        for child in running:
            if not child.wait(MIGRATION_S):
                child.kill()
                raise StartError(f"{child.name} was not done after {MIGRATION_S:.0f} s: {child.last_words()}")
            self._raise_if_closing()
            if child.exit_code != 0:
                raise StartError(f"{child.name} failed (exit {child.exit_code}): {child.last_words()}")
        stamps.write(self._databases)

    def start(self, name: str, *, env: Mapping[str, str] | None = None) -> None:
        """Spawned, not yet ready; nothing when it runs already.

        Raises:
            Stopped: the stack is being closed.
        """
        with self._guard:
            if not self.is_running(name):
                command = self._command(name)
                self._children[name] = self._spawn(name, command, self.env_for(name) | dict(env or {}))

    def run_once(self, name: str, args: Sequence[str]) -> Child:
        """A command that ends by itself has ended.

        Raises:
            Stopped: the stack was closed, which ended it.
        """
        child = self._start_one_shot(name, Command(args=args, cwd=self.root), foreign_environment() | self._mark())
        child.wait()
        self._raise_if_closing()
        return child

    def start_services(self, names: Sequence[str] = SERVICES, *, timeout_s: float = 60.0) -> None:
        for name in names:
            self.start(name)
        self.wait_all_ready(names, timeout_s=timeout_s)

    def wait_ready(self, name: str, timeout_s: float = 30.0) -> None:
        self.wait_all_ready([name], timeout_s=timeout_s)

    def wait_all_ready(self, names: Sequence[str], *, timeout_s: float = 30.0) -> None:
        """Raises:
        StartError: one ended before, or was not ready in time; with its last line.
        """
        deadline = time.monotonic() + timeout_s
        waiting = list(names)
        while waiting := [name for name in waiting if not self._is_ready(name)]:
            self._raise_if_closing()
            for child in (self._children[name] for name in waiting):
                if not child.is_running:
                    raise StartError(_end_sentence(child))
                if time.monotonic() > deadline:
                    raise StartError(f"{child.name} was not ready after {timeout_s:.0f} s: {child.last_words()}")
            self._closing.wait(READY_POLL_S)

    def add_copy(self, name: str, *, of: str) -> None:
        """A second process of a kind can be started under `name`; the others go on to speak to the first."""
        self._processes[name] = replace(self._processes[of], name=name)
        self.ports[name] = free_port(but=self.ports.values())

    # Ending.

    def stop(self, name: str) -> None:
        process, child = self._processes[name], self._children.get(name)
        if child is not None:
            self._told_to_end.add(child)
            child.end(process.stop_signal, self.settings.stop_grace_s(process))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        child = self._children[name]
        self._told_to_end.add(child)
        if number is signal.SIGKILL:
            child.kill()
        else:
            child.send(number)

    def restart(self, name: str, *, env: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> None:
        self.stop(name)
        self.start(name, env=env)
        self.wait_ready(name, timeout_s=timeout_s)

    def close(self) -> None:
        """Everything is ended, the last stage first, and the state directory is free."""
        with self._guard:  # nothing is spawned from here on
            if self._closing.is_set():
                return
            self._closing.set()
        for child in self._one_shots:
            child.kill()
        for stage in sorted({process.stage for process in self._processes.values()}, reverse=True):
            self._stop_together([name for name in self._children if self._processes[name].stage == stage])
        self._spawner.shutdown()
        end_leftovers(self.state_dir)
        self._lock.release()

    def kill_all(self) -> None:
        """For the impatient: every process is killed where it stands; `close()` still follows."""
        for child in [*self._children.values(), *self._one_shots]:
            self._told_to_end.add(child)
            child.kill()

    def _stop_together(self, names: Sequence[str]) -> None:
        stoppers = [threading.Thread(target=self.stop, args=(name,)) for name in names]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()

    # How.

    def _spawn(self, name: str, command: Command, env: Mapping[str, str]) -> Child:
        with self._guard:
            self._raise_if_closing()
            make = self._spawner.submit(Child, name, command, env, log=self._write_line, on_end=self._has_ended)
            return make.result()

    def _start_one_shot(self, name: str, command: Command, env: Mapping[str, str]) -> Child:
        with self._guard:
            child = self._spawn(name, command, env)
            self._told_to_end.add(child)
            self._one_shots.append(child)
            return child

    def _write_line(self, name: str, line: str) -> None:
        process = self._processes.get(name)
        if process is None or not any(part in line for part in process.noise):
            self._log(name, line)

    def _has_ended(self, child: Child) -> None:
        with self._guard:
            told = child in self._told_to_end or self._closing.is_set()
        if not told:
            self._on_exit(child.name, child.exit_code)

    def _raise_if_closing(self) -> None:
        if self._closing.is_set():
            raise Stopped("Hopline is being stopped.")

    def _cluster(self) -> Postgres:
        with self._guard:
            if self._postgres is None:
                home = find_home(self.state_dir)
                self._postgres = Postgres(home, port=self.ports["postgres"], secrets=self.secrets)
            return self._postgres

    def _command(self, name: str) -> Command:
        if name == "postgres":
            cluster = self._cluster()
            free_postgres_folder(cluster.home.data)
            cluster.prepare()
            return cluster.command()
        if name == "valkey":
            folder = self.state_dir / "valkey"
            config = write_config(folder, port=self.ports[name], password=self.secrets["REDIS_PASSWORD"])
            return Command(args=[str(server_binary()), str(config)], cwd=folder)
        if name == "spotlight":
            return spotlight_command(self.root, self.ports[name])
        module = self._processes[name].module
        assert module is not None
        return self._python(module)

    def _python(self, module: str) -> Command:
        return Command(args=[sys.executable, "-m", module], cwd=self.root)

    def _is_ready(self, name: str) -> bool:
        if name == "postgres":
            return self._cluster().accepts()
        if name == "valkey":
            return is_ready(self.ports[name], self.secrets["REDIS_PASSWORD"])
        path = self._processes[name].ready_path
        return path is None or answers(self.url(name) + path)
