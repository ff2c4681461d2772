"""The stack on its own parts: the real databases, no service."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from local.errors import AlreadyRunning, StartError, Stopped
from local.leftovers import owned_processes
from local.ports import free_ports
from local.stack import Stack

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def stack(tmp_path: Path) -> Generator[Stack]:
    with Stack(ROOT, state_dir=tmp_path, ports=free_ports()) as made:
        yield made


def test_databases_start_survive_a_kill_and_leave_nothing(stack: Stack, tmp_path: Path) -> None:
    stack.start_databases()
    assert set(stack.pids) == {"postgres", "valkey"}
    stack.kill("postgres")
    assert set(stack.pids) == {"valkey"}
    stack.start_databases()
    stack.restart("valkey")
    stack.close()
    assert stack.pids == {}
    assert owned_processes(tmp_path) == []


def test_a_second_stack_on_the_same_state_is_refused_by_a_sentence(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(AlreadyRunning, match=rf"\(pid {os.getpid()}\): end it with `make stop`"):
        Stack(ROOT, state_dir=tmp_path, ports=stack.ports)


def test_the_state_is_free_after_closing(stack: Stack, tmp_path: Path) -> None:
    stack.close()
    with Stack(ROOT, state_dir=tmp_path, ports=free_ports()) as second:
        assert second.secrets == stack.secrets


def test_a_closed_stack_starts_nothing(stack: Stack) -> None:
    stack.close()
    with pytest.raises(Stopped):
        stack.start("valkey")


def test_a_process_that_ends_at_its_start_is_named_with_its_last_words(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", stack.ports["valkey"])):
        stack.start("valkey")
        with pytest.raises(StartError, match="valkey ended at its start"):
            stack.wait_ready("valkey")


def test_a_launcher_that_is_killed_takes_its_children_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from local.stack import Stack; from local.ports import free_ports\n"
        "stack = Stack(Path(sys.argv[1]), state_dir=Path(sys.argv[2]), ports=free_ports())\n"
        "stack.start_databases(); print('up', flush=True); time.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "deploy")}
    command = [sys.executable, "-c", script, str(ROOT), str(tmp_path)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"up\n"
        children = psutil.Process(launcher.pid).children()
        assert len(children) == 2
        launcher.send_signal(signal.SIGKILL)
    with Stack(ROOT, state_dir=tmp_path, ports=free_ports()) as second:
        assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
        second.start_databases()


def test_an_end_that_nobody_asked_for_is_told_and_one_that_was_is_not(tmp_path: Path) -> None:
    ends: list[tuple[str, int | None]] = []

    def note(name: str, code: int | None) -> None:
        ends.append((name, code))

    with Stack(ROOT, state_dir=tmp_path, ports=free_ports(), on_exit=note) as stack:
        stack.start("valkey")
        stack.wait_ready("valkey")
        stack.restart("valkey")
        os.kill(stack.pids["valkey"], signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not ends and time.monotonic() < deadline:
            time.sleep(0.01)
    assert ends == [("valkey", -9)]
