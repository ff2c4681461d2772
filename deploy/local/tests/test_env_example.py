"""`.env.example` is the list of all settings: each stands there, and nothing else does."""

import re
from pathlib import Path

from pydantic_settings import BaseSettings

from chat.settings import ChatSettings
from gateway.settings import GatewaySettings
from local.process_table import PROCESSES
from tracking.settings import TrackingSettings, WorkerSettings

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / ".env.example"
COMPOSE_FILES = (ROOT / "docker-compose.yml", *ROOT.glob("deploy/*/*/services.yml"))
OF_THE_LAUNCHER = {"HOPLINE_STATE_DIR", "HOPLINE_LOCAL_MODEL_KEY", *(process.port_setting for process in PROCESSES)}


def variables(settings: type[BaseSettings]) -> set[str]:
    fields = settings.model_fields.items()
    return {info.validation_alias if isinstance(info.validation_alias, str) else name.upper() for name, info in fields}


def settings_of_compose() -> set[str]:
    """Every variable that one of its files names."""
    named = {name for file in COMPOSE_FILES for name in re.findall(r"\$\{([A-Z_]+)", file.read_text())}
    return named - {"COMPOSE_PROJECT_NAME"}


def test_every_setting_of_every_process_stands_in_the_example_and_no_other() -> None:
    written = set(re.findall(r"^#?([A-Z][A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    read = set[str]().union(*map(variables, (GatewaySettings, ChatSettings, TrackingSettings, WorkerSettings)))
    assert written == read | OF_THE_LAUNCHER | settings_of_compose()
