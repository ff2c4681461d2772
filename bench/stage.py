"""Everything that a run needs, as real processes: Hopline, the scripted model, the pass-through, the Sentry sink."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.ports import free_port, free_ports
from local.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 20.0
OURS = ("gateway", "chat", "chat-worker", "tracking", "tracking-worker")
DATABASES = ("postgres", "valkey")
AROUND = ("provider", "caller", "sentry")
"""What the measuring needs: listed apart, never counted as Hopline's."""
PASS_THROUGH = "pass-through"


@dataclass(frozen=True, slots=True)
class Stage:
    hopline_url: str
    direct_url: str
    pass_through_url: str
    pids: Mapping[str, int]

    @property
    def ways(self) -> Sequence[tuple[str, str]]:
        """The same answer may be had in three ways: name and base URL of each."""
        return (("direct", self.direct_url), (PASS_THROUGH, self.pass_through_url), ("Hopline", self.hopline_url))


@contextmanager
def staged(models: Sequence[str], *, traces_sample_rate: float) -> Generator[Stage]:
    """All of it runs while the block does, on free ports of this machine and a state directory that goes away."""
    with ExitStack() as closing:
        state_dir = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="hopline-bench-")))
        ports = free_ports()
        model_port, through_port, sink_port = (free_port(but=ports.values()) for _ in range(3))
        direct_url = f"http://127.0.0.1:{model_port}/v1"
        provider = closing.enter_context(_running("bench.scripted_model", model_port))
        through = closing.enter_context(_running("bench.pass_through", through_port, direct_url))
        sink = closing.enter_context(_running("bench.sentry_sink", sink_port))
        models_file = state_dir / "bench-models.toml"
        models_file.write_text(_models_toml(models, direct_url))
        env = {
            "HOPLINE_MODELS": str(models_file),
            "SENTRY_DSN": f"http://bench@127.0.0.1:{sink_port}/1",
            "SENTRY_TRACES_SAMPLE_RATE": str(traces_sample_rate),
            "HOPLINE_TURNS_AT_ONCE": "400",
        }
        stack = closing.enter_context(Stack(ROOT, state_dir=state_dir / "state", ports=ports, env=env))
        stack.start_databases()
        stack.migrate()
        stack.start_services()
        around = {"provider": provider.pid, "caller": os.getpid(), "sentry": sink.pid, PASS_THROUGH: through.pid}
        through_url = f"http://127.0.0.1:{through_port}/v1"
        yield Stage(stack.url("gateway") + "/v1", direct_url, through_url, {**stack.pids, **around})


def _models_toml(models: Sequence[str], url: str) -> str:
    entries = "".join(f'[models."{name}"]\nprovider = "scripted"\n' for name in models)
    return f'[providers.scripted]\nbase_url = "{url}"\n{entries}'


@contextmanager
def _running(module: str, port: int, *args: str) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(port), *args], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_open(port)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
