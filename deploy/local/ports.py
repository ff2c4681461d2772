"""Which ports are free, and what to say of one that isn't."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

import psutil

from .errors import PortTaken
from .process_table import NAMES, Process

# Below the range from which Linux takes the ports of outgoing connections, so that none of those takes a port
# between the moment it was found free and the start of its process.
FREE_RANGE = range(10_240, 32_768)


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(*, but: Iterable[int] = ()) -> int:
    used = set(but)
    while True:
        port = random.choice(FREE_RANGE)  # noqa: S311 - no secret
        if port not in used and is_free("127.0.0.1", port):
            return port


def free_ports(names: Iterable[str] = NAMES) -> dict[str, int]:
    """A port of its own for each process, free at this moment."""
    ports: dict[str, int] = {}
    for name in names:
        ports[name] = free_port(but=ports.values())
    return ports


def holder_of(port: int) -> str | None:
    """`python (pid 123)`, or None when the system does not show other people's processes."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        listening = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
        if listening and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None


def taken_sentence(process: Process, port: int, holder: str | None) -> str:
    by = holder or "another program"
    return (
        f"Port {port}, which {process.name} needs, is taken by {by}: "
        f"end that, or set {process.port_setting} to a free port."
    )


def require_free(process: Process, host: str, port: int) -> None:
    """Raises:
    PortTaken: something listens there.
    """
    if not is_free(host, port):
        raise PortTaken(taken_sentence(process, port, holder_of(port)))
