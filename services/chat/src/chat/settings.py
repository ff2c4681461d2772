"""Everything that chat and chat-worker read from the environment."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from wire.process_settings import EnvironmentSettings, Port, ProcessSettings, RedisSettings


class ProviderSettings(EnvironmentSettings):
    """Which models there are: a `models.toml`, or else all that one OpenAI-compatible provider lists."""

    models_file: Annotated[Path | None, Field(validation_alias="HOPLINE_MODELS")] = None
    openai_base_url: str = "https://api.openai.com/v1"
    openai_api_key: SecretStr | None = None


class ChatSettings(ProcessSettings, RedisSettings, ProviderSettings):
    port: Annotated[Port, Field(validation_alias="HOPLINE_CHAT_PORT")] = 8001
    worker_port: Annotated[Port, Field(validation_alias="HOPLINE_CHAT_WORKER_PORT")] = 8011
    database_url: Annotated[SecretStr, Field(validation_alias="HOPLINE_CHAT_DATABASE_URL")]
    tracking_url: Annotated[str, Field(validation_alias="HOPLINE_TRACKING_URL")] = "http://127.0.0.1:8002"
    turns_at_once: Annotated[int, Field(ge=1, le=1000, validation_alias="HOPLINE_TURNS_AT_ONCE")] = 64
    """How many turns one worker process answers at the same time."""


class DatabaseSettings(EnvironmentSettings):
    """What a migration needs, and nothing more."""

    database_url: Annotated[SecretStr, Field(validation_alias="HOPLINE_CHAT_DATABASE_URL")]


def read_variable(name: str) -> str | None:
    """The value of a variable that a `models.toml` names as the home of a provider's key."""
    return os.environ.get(name) or None
