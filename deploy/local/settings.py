"""The launcher's own settings, and the only place that reads the environment.

The values come from the environment and from `.env` at the root; the environment wins. An empty value is none, as
`NAME=` in `.env` means to people. What a service reads is checked by the service itself; here only what decides
which processes run and where.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .dotenv import read_dotenv
from .errors import SettingError
from .process_table import DATABASE_SETTINGS, PROCESSES, Kind, Process

PREFIXES = ("HOPLINE_", "SENTRY_", "OPENAI_")
NAMES = frozenset({"REDIS_URL"})
LOOPBACK = "127.0.0.1"
PROVIDER_SETTINGS = frozenset({"HOPLINE_MODELS", "OPENAI_BASE_URL", "OPENAI_API_KEY"})


def is_setting(name: str) -> bool:
    return name.startswith(PREFIXES) or name in NAMES


def environment() -> dict[str, str]:
    return dict(os.environ)


def foreign_environment() -> dict[str, str]:
    """What children inherit besides settings: PATH, HOME, locale, proxies."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if not is_setting(name) and name not in hidden}


def given_values(root: Path) -> dict[str, str]:
    """Everything said in `.env`, and the settings said in the environment.

    Raises:
        SettingError: `.env` can't be read.
    """
    outer = environment()
    values = {name: outer.get(name, value) for name, value in read_dotenv(root / ".env").items()}
    values |= {name: value for name, value in outer.items() if is_setting(name)}
    return {name: value for name, value in values.items() if value != ""}


@dataclass(frozen=True)
class LauncherSettings:
    values: Mapping[str, str]
    state_dir: Path
    ports: Mapping[str, int]

    @property
    def uses_local_model(self) -> bool:
        return not self.values.keys() & PROVIDER_SETTINGS

    @property
    def uses_spotlight(self) -> bool:
        return "SENTRY_DSN" not in self.values

    @property
    def embeds_postgres(self) -> bool:
        return not all(name in self.values for name in DATABASE_SETTINGS.values())

    @property
    def embeds_valkey(self) -> bool:
        return "REDIS_URL" not in self.values

    def runs(self, process: Process) -> bool:
        needed = {
            "postgres": self.embeds_postgres,
            "valkey": self.embeds_valkey,
            "local-model": self.uses_local_model,
            "spotlight": self.uses_spotlight,
        }
        return needed.get(process.name, True)

    def stop_grace_s(self, process: Process) -> float:
        """A little longer than a service waits itself for the work under way."""
        drain = self.values.get("HOPLINE_DRAIN_TIMEOUT_S", "")
        own = float(drain) + 2.0 if process.kind is Kind.SERVICE and drain.replace(".", "", 1).isdecimal() else 0.0
        return max(own, process.stop_grace_s)

    def bind_of(self, process: Process) -> str:
        return self.values.get(process.bind_setting, LOOPBACK) if process.bind_setting else LOOPBACK


def read_settings(root: Path) -> LauncherSettings:
    """Raises:
    SettingError: a value makes no sense; names the setting.
    """
    values = given_values(root)
    state_dir = (root / Path(values.get("HOPLINE_STATE_DIR", ".hopline")).expanduser()).absolute()
    return LauncherSettings(values=values, state_dir=state_dir, ports=ports_from(values))


def ports_from(values: Mapping[str, str]) -> dict[str, int]:
    """One port a process, no two alike.

    Raises:
        SettingError: no port number, or the same one twice.
    """
    ports: dict[str, int] = {}
    for process in PROCESSES:
        port = _port(process.port_setting, values.get(process.port_setting), process.default_port)
        same = next((name for name, other in ports.items() if other == port), None)
        if same is not None:
            raise SettingError(f"{process.name} and {same} both want port {port}: change {process.port_setting}.")
        ports[process.name] = port
    return ports


def _port(setting: str, written: str | None, default: int) -> int:
    if written is None:
        return default
    if not (written.isascii() and written.isdecimal()) or not 1 <= int(written) <= 65_535:
        raise SettingError(f"{setting} must be a port number from 1 to 65535, not {written!r}.")
    return int(written)
