"""One compose project of this repository, driven by the `docker` command as a person does it.

Nothing of the caller's own settings, and no `.env`, has a say in it.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from local.settings import foreign_environment

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"
UP_TIMEOUT_S = 420.0
"""Images may have to be built."""
COMMAND_TIMEOUT_S = 60.0

PYTHON_PROCESSES = ("gateway", "chat", "chat-worker", "tracking", "tracking-worker")


def docker(*words: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """What the command prints.

    Raises:
        AssertionError: it failed; shows what it said.
    """
    done = run("docker", *words, timeout_s=timeout_s)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def run(
    *words: str, timeout_s: float = COMMAND_TIMEOUT_S, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=ROOT,
        env=dict(env) if env is not None else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def as_containers_see(url: str) -> str:
    """The URL of something that listens at `EVERY_ADDRESS` of this machine."""
    return url.replace(EVERY_ADDRESS, "host.docker.internal")


@dataclass(slots=True)
class Composition:
    project: str
    port: int
    settings: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def url(self) -> str:
        """The front door."""
        return f"http://{LOOPBACK}:{self.port}"

    def client(self, url: str | None = None) -> httpx.AsyncClient:
        """A client of the front door, or of one container, which is to be spoken to as if it were the front door."""
        headers = {"Host": f"{LOOPBACK}:{self.port}"}
        return httpx.AsyncClient(base_url=url or self.url, headers=headers, timeout=60.0, trust_env=False)

    def try_compose(self, *words: str, timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        files = ("--project-name", self.project, "--env-file", os.devnull)
        env = foreign_environment() | {"HOPLINE_GATEWAY_PORT": str(self.port)} | self.settings
        return run("docker", "compose", *files, *words, timeout_s=timeout_s, env=env)

    def compose(self, *words: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """What the command prints.

        Raises:
            AssertionError: it failed; shows what it said.
        """
        done = self.try_compose(*words, timeout_s=timeout_s)
        assert done.returncode == 0, f"docker compose {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def up(self, *, settings: Mapping[str, str] | None = None, scale: Mapping[str, int] | None = None) -> None:
        """Everything is well, with these settings from now on."""
        self.settings.update(settings or {})
        copies = [word for name, count in (scale or {}).items() for word in ("--scale", f"{name}={count}")]
        done = self.try_compose("up", "--build", "--wait", *copies, timeout_s=UP_TIMEOUT_S)
        assert done.returncode == 0, f"{done.stderr}\n{self.logs(tail=20)}"

    def down(self) -> None:
        """Nothing is left of it."""
        self.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "20", timeout_s=180.0)

    def containers(self) -> dict[str, list[dict[str, Any]]]:
        """All containers as `docker inspect` shows them, those that have ended too, by service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found: dict[str, list[dict[str, Any]]] = {}
        for container in json.loads(docker("inspect", *ids)):
            found.setdefault(container["Config"]["Labels"]["com.docker.compose.service"], []).append(container)
        return found

    def addresses(self, service: str, port: int) -> list[str]:
        """The URL of each of its containers, as this machine reaches it."""
        network = f"{self.project}_front"
        found = self.containers()[service]
        return [f"http://{one['NetworkSettings']['Networks'][network]['IPAddress']}:{port}" for one in found]

    def logs(self, *services: str, tail: int | None = None) -> str:
        bounds = () if tail is None else ("--tail", str(tail))
        return self.compose("logs", "--no-color", "--no-log-prefix", *bounds, *services)

    def log_of(self, container: Mapping[str, Any]) -> str:
        done = run("docker", "logs", str(container["Id"]))
        return done.stdout + done.stderr

    def exec(self, service: str, *words: str) -> str:
        return self.compose("exec", "--no-TTY", service, *words)

    def try_exec(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self.try_compose("exec", "--no-TTY", service, *words)

    def sql(self, statement: str, *, database: str, role: str = "hopline") -> subprocess.CompletedProcess[str]:
        """By PostgreSQL's own socket, which asks for no password."""
        psql = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        return self.try_exec("postgres", *psql, "-U", role, "-d", database, "-c", statement)

    def secrets(self) -> dict[str, str]:
        """What stands in each file that the first start made."""
        show = "import pathlib,json; print(json.dumps({f.name: f.read_text().strip() for f in pathlib.Path('/run/hopline/secrets').iterdir()}))"  # noqa: E501
        return json.loads(self.compose("run", "--rm", "--no-deps", "--entrypoint", "python", "secrets", "-c", show))
