"""What the launcher tells its children: the settings that nobody gave.

Pure: settings in, environment out. What a person or a test gives always wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .process_table import DATABASE_SETTINGS, PROCESSES, Kind, Process
from .settings import LOOPBACK

SPOTLIGHT_KEY = "spotlight"


def base_url(process: Process, port: int, given: Mapping[str, str]) -> str:
    """How this machine's other processes reach it."""
    bind = given.get(process.bind_setting, LOOPBACK) if process.bind_setting else LOOPBACK
    host = LOOPBACK if bind in {"0.0.0.0", "::", "localhost"} else bind  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def made_values(
    *,
    root: Path,
    state_dir: Path,
    ports: Mapping[str, int],
    secrets: Mapping[str, str],
    given: Mapping[str, str],
) -> dict[str, str]:
    """Everything a service needs that was not given, except databases, models and the trace viewer."""
    values = {
        "HOPLINE_STATE_DIR": str(state_dir),
        "HOPLINE_BIND": LOOPBACK,
        "HOPLINE_INTERNAL_BIND": LOOPBACK,
        "HOPLINE_SIGN_IN": "local",
        "HOPLINE_STATIC_DIR": str(root / "frontend" / "dist"),
        "HOPLINE_SERVICE_KEY": secrets["HOPLINE_SERVICE_KEY"],
        "SENTRY_TRACES_SAMPLE_RATE": "1.0",
        "SENTRY_TEST_ENABLED": "true",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(root / "deploy"),
    }
    for process in PROCESSES:
        values[process.port_setting] = str(ports[process.name])
        if process.kind is Kind.SERVICE and process.url_setting:
            values[process.url_setting] = base_url(process, ports[process.name], given)
    return values


def database_values(urls: Mapping[str, str]) -> dict[str, str]:
    return {DATABASE_SETTINGS[service]: url for service, url in urls.items()}


def redis_url(port: int, password: str) -> str:
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


def spotlight_values(port: int) -> dict[str, str]:
    return {
        "SENTRY_DSN": f"http://{SPOTLIGHT_KEY}@{LOOPBACK}:{port}/1",
        "SENTRY_WEB_URL": f"http://{LOOPBACK}:{port}",
    }
