"""The processes of a local stack, as data.

The services are configured by their environment alone; what stands here is only how to start them, where they
listen and how to see that they are ready.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    DATABASE = "database"
    EXTRA = "extra"
    """Of the local mode only; a deployment has a real provider and a real Sentry instead."""
    SERVICE = "service"


@dataclass(frozen=True, kw_only=True)
class Process:
    name: str
    kind: Kind
    port_setting: str
    default_port: int
    module: str | None = None
    """Started as `python -m <module>`; None for programs that are not ours."""
    url_setting: str | None = None
    """The setting by which the other processes find this one over HTTP."""
    ready_path: str | None = None
    """Answers 200 when ready; None for the databases, which are asked in their own protocol."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 10.0
    stage: int
    """The lower ones are started first and stopped last; within a stage all at once."""
    bind_setting: str | None = None
    noise: tuple[str, ...] = ()
    """Lines with one of these say nothing to a person, and come at every start."""


PROCESSES: tuple[Process, ...] = (
    Process(
        name="postgres",
        stage=0,
        kind=Kind.DATABASE,
        port_setting="HOPLINE_POSTGRES_PORT",
        default_port=8432,
        stop_signal=signal.SIGINT,  # a fast shutdown: SIGTERM would wait for every open connection
        noise=("the database system is", "terminating connection due to administrator command"),
    ),
    Process(
        name="valkey",
        stage=0,
        kind=Kind.DATABASE,
        port_setting="HOPLINE_REDIS_PORT",
        default_port=8379,
        noise=("Memory overcommit must be enabled", "scheduling shutdown", "is now ready to exit"),
    ),
    Process(
        name="local-model",
        stage=1,
        kind=Kind.EXTRA,
        module="local.model_server",
        port_setting="HOPLINE_LOCAL_MODEL_PORT",
        default_port=8003,
        ready_path="/health",
        stop_grace_s=3.0,
        bind_setting="HOPLINE_INTERNAL_BIND",
    ),
    Process(
        name="spotlight",
        stage=1,
        kind=Kind.EXTRA,
        port_setting="HOPLINE_SPOTLIGHT_PORT",
        default_port=8969,
        ready_path="/health",
        stop_grace_s=3.0,
        noise=("",),  # all of it: its absence is one line of the launcher's
    ),
    Process(
        name="tracking",
        stage=2,
        kind=Kind.SERVICE,
        module="tracking",
        port_setting="HOPLINE_TRACKING_PORT",
        default_port=8002,
        url_setting="HOPLINE_TRACKING_URL",
        ready_path="/readyz",
        bind_setting="HOPLINE_INTERNAL_BIND",
    ),
    Process(
        name="tracking-worker",
        stage=2,
        kind=Kind.SERVICE,
        module="tracking.worker",
        port_setting="HOPLINE_TRACKING_WORKER_PORT",
        default_port=8012,
        url_setting="HOPLINE_TRACKING_WORKER_URL",
        ready_path="/readyz",
        bind_setting="HOPLINE_INTERNAL_BIND",
    ),
    Process(
        name="chat",
        stage=3,
        kind=Kind.SERVICE,
        module="chat",
        port_setting="HOPLINE_CHAT_PORT",
        default_port=8001,
        url_setting="HOPLINE_CHAT_URL",
        ready_path="/readyz",
        bind_setting="HOPLINE_INTERNAL_BIND",
    ),
    Process(
        name="chat-worker",
        stage=3,
        kind=Kind.SERVICE,
        module="chat.worker",
        port_setting="HOPLINE_CHAT_WORKER_PORT",
        default_port=8011,
        url_setting="HOPLINE_CHAT_WORKER_URL",
        ready_path="/readyz",
        bind_setting="HOPLINE_INTERNAL_BIND",
    ),
    Process(
        name="gateway",
        stage=4,
        kind=Kind.SERVICE,
        module="gateway",
        port_setting="HOPLINE_GATEWAY_PORT",
        default_port=8000,
        ready_path="/readyz",
        bind_setting="HOPLINE_BIND",
    ),
)

BY_NAME: dict[str, Process] = {process.name: process for process in PROCESSES}
NAMES: tuple[str, ...] = tuple(BY_NAME)
SERVICES: tuple[str, ...] = tuple(p.name for p in PROCESSES if p.kind is Kind.SERVICE)
DATABASES: tuple[str, ...] = tuple(p.name for p in PROCESSES if p.kind is Kind.DATABASE)

# Who owns which database, and the one-shot process that brings its tables up to date.
MIGRATIONS: dict[str, str] = {
    "gateway": "gateway.migrate",
    "chat": "chat.migrate",
    "tracking": "tracking.migrate",
}
DATABASE_SETTINGS: dict[str, str] = {
    "gateway": "HOPLINE_GATEWAY_DATABASE_URL",
    "chat": "HOPLINE_CHAT_DATABASE_URL",
    "tracking": "HOPLINE_TRACKING_DATABASE_URL",
}
