"""Settings that every process has. Each service's `settings.py` composes these and adds its own.

The environment is read once, when a process starts. Any variable may stand in a file instead, which `NAME_FILE` names:
that is how a container gets its secrets, since who may look at a container sees its environment. A wrong value
stops the process with one sentence that names the variable and never shows the value, which may be a secret.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from wire.version import VERSION

EXIT_WRONG_SETTING = 78
"""`EX_CONFIG` of sysexits: what the launcher and compose see when a setting is wrong."""

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Port = Annotated[int, Field(ge=1, le=65535)]

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class UnreadableFile(Exception):
    """A `NAME_FILE` names a file that can't be read, or one that is no text. The message names the variable."""


def read_variable(name: str) -> str | None:
    """The value of a variable, or else what stands in the file that `NAME_FILE` names; an empty one is none.

    Raises:
        UnreadableFile: as the class says.
    """
    value, path = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if value or not path:
        return value or None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise UnreadableFile(f"{name}_FILE: {path} can't be read: {reason}") from None


class FileSource(PydanticBaseSettingsSource):
    """The settings that stand in files; one that is in the environment too is left to that."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = _variable_name(self.settings_cls, field_name)
        key = field.validation_alias if isinstance(field.validation_alias, str) else field_name
        return (None if os.environ.get(variable) else read_variable(variable)), key, False

    def __call__(self) -> dict[str, Any]:
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {name: value for value, name, _ in found if value is not None}


def _is_dsn(value: str) -> str:
    parts = _split(value)
    project = parts.path.rpartition("/")[2]
    if parts.scheme not in ("http", "https") or not (parts.username and parts.hostname and project.isdigit()):
        raise ValueError("This is not a DSN such as https://key@host/1")
    return value


def _is_redis_url(value: SecretStr) -> SecretStr:
    parts = _split(value.get_secret_value())
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        raise ValueError("This is not a URL such as redis://:password@host:6379/0")
    return value


def _split(url: str) -> SplitResult:
    """The parts of a URL, none of them when it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


class EnvironmentSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True, case_sensitive=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, FileSource(settings_cls)


class SentrySettings(EnvironmentSettings):
    """Sentry's own. `SENTRY_SERVER_NAME` is a prefix: `eu1` makes the gateway `eu1-gateway`."""

    sentry_dsn: Annotated[str, AfterValidator(_is_dsn)] | None = None
    sentry_environment: str = "development"
    sentry_release: str = VERSION
    sentry_traces_sample_rate: Rate | None = None
    """Unset: 1.0 in the local mode, 0.1 otherwise."""
    sentry_profiles_sample_rate: Rate = 0.0
    sentry_max_breadcrumbs: Annotated[int, Field(ge=0, le=100)] = 50
    sentry_send_default_pii: bool = False
    sentry_server_name: str | None = None
    sentry_attach_stacktrace: bool = True
    sentry_web_url: str | None = None
    sentry_test_enabled: bool = False
    sign_in: Annotated[Literal["local", "keys"], Field(validation_alias="HOPLINE_SIGN_IN")] = "local"

    @property
    def traces_sample_rate(self) -> float:
        if self.sentry_traces_sample_rate is not None:
            return self.sentry_traces_sample_rate
        return 1.0 if self.sign_in == "local" else 0.1


class ProcessSettings(SentrySettings):
    log_format: Annotated[Literal["console", "json"], Field(validation_alias="HOPLINE_LOG_FORMAT")] = "console"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(validation_alias="HOPLINE_LOG_LEVEL")] = (
        "info"
    )
    internal_bind: Annotated[str, Field(validation_alias="HOPLINE_INTERNAL_BIND")] = "127.0.0.1"
    service_key: Annotated[SecretStr, Field(validation_alias="HOPLINE_SERVICE_KEY")]
    drain_timeout_s: Annotated[float, Field(ge=0, le=600, validation_alias="HOPLINE_DRAIN_TIMEOUT_S")] = 10.0
    """After SIGTERM: how long work under way may go on before it is handed over."""

    @model_validator(mode="after")
    def _key_is_long_enough(self) -> Self:
        if len(self.service_key.get_secret_value()) < 32:
            raise ValueError("HOPLINE_SERVICE_KEY needs at least 32 characters")
        return self


class RedisSettings(EnvironmentSettings):
    redis_url: Annotated[SecretStr, AfterValidator(_is_redis_url)] = SecretStr("redis://127.0.0.1:8379/0")


def load_settings(settings: type[SettingsT]) -> SettingsT:
    """The settings from the environment; on a wrong one the process ends with a sentence on stderr and code 78."""
    try:
        return settings()
    except UnreadableFile as error:
        print(f"Wrong setting: {error}", file=sys.stderr)
        sys.exit(EXIT_WRONG_SETTING)
    except ValidationError as error:
        _stop_on(settings, error)


def _stop_on(settings: type[BaseSettings], error: ValidationError) -> NoReturn:
    for problem in error.errors(include_input=False, include_url=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        name = _variable_name(settings, field)
        sentence = problem["msg"].removeprefix("Value error, ")
        line = sentence if not name or name in sentence else f"{name}: {sentence}"
        print(f"Wrong setting: {line}", file=sys.stderr)
    sys.exit(EXIT_WRONG_SETTING)


def _variable_name(settings: type[BaseSettings], field: str) -> str:
    info = settings.model_fields.get(field)
    if info is not None and isinstance(info.validation_alias, str):
        return info.validation_alias
    return field.upper()
