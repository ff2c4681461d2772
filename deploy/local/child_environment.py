"""What the launcher tells its children: the settings that nobody gave.

Pure: settings in, environment out. What a person or a test gives always wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .local_model import MODELS_FILE
from .process_table import DATABASE_SETTINGS, PROCESSES, Process
from .settings import LOOPBACK, PROVIDER_SETTINGS

SPOTLIGHT_KEY = "spotlight"
DRAIN_S = "5"  # nobody waits longer for a Ctrl-C; what is cut short goes on after the next start


def base_url(process: Process, port: int, given: Mapping[str, str]) -> str:
    """How this machine's other processes reach it."""
    bind = given.get(process.bind_setting, LOOPBACK) if process.bind_setting else LOOPBACK
    host = LOOPBACK if bind in {"0.0.0.0", "::", "localhost"} else bind  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def child_environment(
    process: Process,
    *,
    root: Path,
    state_dir: Path,
    ports: Mapping[str, int],
    secrets: Mapping[str, str],
    given: Mapping[str, str],
    viewer_runs: bool,
) -> dict[str, str]:
    """Every setting that the process gets. `ports` holds its own port under its own name."""
    if process.module is None:  # not ours: our settings are none of its business
        return {}
    values = {
        "HOPLINE_STATE_DIR": str(state_dir),
        "HOPLINE_BIND": LOOPBACK,
        "HOPLINE_INTERNAL_BIND": LOOPBACK,
        "HOPLINE_SIGN_IN": "local",
        "HOPLINE_STATIC_DIR": str(root / "frontend" / "dist"),
        "HOPLINE_SERVICE_KEY": secrets["HOPLINE_SERVICE_KEY"],
        "HOPLINE_MODELS": str(state_dir / MODELS_FILE),
        "HOPLINE_LOCAL_MODEL_KEY": secrets["HOPLINE_LOCAL_MODEL_KEY"],
        "REDIS_URL": redis_url(ports, secrets),
        "SENTRY_TRACES_SAMPLE_RATE": "1.0",
        "SENTRY_TEST_ENABLED": "true",
        "HOPLINE_DRAIN_TIMEOUT_S": DRAIN_S,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(root / "deploy"),
    }
    values |= {setting: database_url(owner, ports, secrets) for owner, setting in DATABASE_SETTINGS.items()}
    values |= {one.port_setting: str(ports[one.name]) for one in PROCESSES}
    values |= {one.url_setting: base_url(one, ports[one.name], given) for one in PROCESSES if one.url_setting}
    if viewer_runs:
        address = f"http://{LOOPBACK}:{ports['spotlight']}"
        values |= {"SENTRY_DSN": address.replace("//", f"//{SPOTLIGHT_KEY}@") + "/1", "SENTRY_WEB_URL": address}
    if given.keys() & PROVIDER_SETTINGS:
        del values["HOPLINE_MODELS"], values["HOPLINE_LOCAL_MODEL_KEY"]
    return values | dict(given) | {process.port_setting: str(ports[process.name])}


def database_url(owner: str, ports: Mapping[str, int], secrets: Mapping[str, str]) -> str:
    name, password = f"hopline_{owner}", secrets[f"{owner.upper()}_DATABASE_PASSWORD"]
    return f"postgresql://{name}:{password}@{LOOPBACK}:{ports['postgres']}/{name}"


def admin_url(ports: Mapping[str, int], secrets: Mapping[str, str]) -> str:
    return f"postgresql://hopline:{secrets['POSTGRES_PASSWORD']}@{LOOPBACK}:{ports['postgres']}/postgres"


def redis_url(ports: Mapping[str, int], secrets: Mapping[str, str]) -> str:
    return f"redis://:{secrets['REDIS_PASSWORD']}@{LOOPBACK}:{ports['valkey']}/0"
