import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from local.identity import OWNER_SETTING, ProcessMark, is_owned_by, mark_of
from local.leftovers import end_leftovers, free_postgres_folder, owned_processes

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


@contextmanager
def process(command: list[str], **env: str) -> Generator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE)
    assert running.stdout is not None
    with running.stdout:
        running.stdout.readline()
        try:
            yield running
        finally:
            running.kill()
            running.wait()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_mark_is_of_one_process_and_ends_with_it() -> None:
    with process(SLEEP) as running:
        mark = mark_of(running.pid)
        assert mark is not None
        assert mark.is_alive
    assert not mark.is_alive


def test_a_pid_that_another_process_bears_now_is_not_taken_for_it() -> None:
    assert not ProcessMark(os.getpid(), "another start").is_alive


def test_a_process_that_only_waits_to_be_reaped_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as running:
        until(lambda: psutil.Process(running.pid).status() == psutil.STATUS_ZOMBIE)
        assert mark_of(running.pid) is None


def test_only_what_carries_the_state_directory_is_owned(tmp_path: Path) -> None:
    with process(SLEEP, **{OWNER_SETTING: str(tmp_path)}) as ours, process(SLEEP) as other:
        assert is_owned_by(psutil.Process(ours.pid), tmp_path)
        assert not is_owned_by(psutil.Process(ours.pid), tmp_path / "other")
        assert not is_owned_by(psutil.Process(other.pid), tmp_path)


def test_leftovers_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    with process(SLEEP, **{OWNER_SETTING: str(tmp_path)}) as ours, process(SLEEP) as other:
        ended = end_leftovers(tmp_path)
        assert len(ended) == 1
        assert f"(pid {ours.pid})" in ended[0]
        assert other.poll() is None
        assert owned_processes(tmp_path) == []


def test_a_leftover_that_ignores_being_asked_is_killed(tmp_path: Path) -> None:
    with process(STUBBORN, **{OWNER_SETTING: str(tmp_path)}) as ours:
        mark = mark_of(ours.pid)
        assert mark is not None
        end_leftovers(tmp_path)
        assert not mark.is_alive


def test_a_stale_postmaster_file_goes_and_the_stranger_with_its_number_stays(tmp_path: Path) -> None:
    with process(SLEEP) as stranger:
        (tmp_path / "postmaster.pid").write_text(f"{stranger.pid}\n{tmp_path}\n")
        free_postgres_folder(tmp_path)
        assert not (tmp_path / "postmaster.pid").exists()
        assert stranger.poll() is None
