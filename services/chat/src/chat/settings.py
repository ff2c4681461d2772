"""Everything that chat and chat-worker read from the environment."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from wire.process_settings import EnvironmentSettings, Port, ProcessSettings, RedisSettings


def _usable_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise ValueError("this is no address that begins with http:// or https:// and names a host")
    return url


def _sendable_key(key: SecretStr) -> SecretStr:
    if not is_sendable(key.get_secret_value()):
        raise ValueError("a key holds letters, digits and signs of ASCII only, and no white space")
    return key


def is_sendable(key: str) -> bool:
    """Whether a header can carry it."""
    return key.isascii() and key.isprintable() and " " not in key


BaseUrl = Annotated[str, AfterValidator(_usable_url)]


class ProviderSettings(EnvironmentSettings):
    """Which models there are: a `models.toml`, or else all that one OpenAI-compatible provider lists."""

    models_file: Annotated[Path | None, Field(validation_alias="HOPLINE_MODELS")] = None
    openai_base_url: BaseUrl = "https://api.openai.com/v1"
    openai_api_key: Annotated[SecretStr, AfterValidator(_sendable_key)] | None = None


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
