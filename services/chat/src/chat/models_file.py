"""Reads and checks `models.toml`: the providers, and the models as people name them."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chat.settings import BaseUrl
from wire.contracts.chat import ModelName
from wire.contracts.money import Price


class WrongModelsFile(Exception):
    """`models.toml` can't be read or says what makes no sense; the sentence names the place."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderEntry(_Entry):
    base_url: BaseUrl
    api_key_env: str | None = None


UsdPerMillion = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class PriceEntry(Price):
    model_config = ConfigDict(extra="forbid", frozen=True)

    input: UsdPerMillion
    output: UsdPerMillion
    cached_input: UsdPerMillion | None = None


class ModelEntry(_Entry):
    provider: str
    upstream: str | None = None
    description: str | None = None
    context_window: Annotated[int, Field(ge=256)] | None = None
    connect_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    idle_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    retries: Annotated[int, Field(ge=0, le=5)] = 1
    continues_prefill: bool = False
    price: PriceEntry | None = None


class ModelsFile(_Entry):
    default: str | None = None
    providers: dict[str, ProviderEntry]
    models: Annotated[dict[ModelName, ModelEntry], Field(min_length=1)]


def read_models_file(path: Path) -> ModelsFile:
    """Raises:
    WrongModelsFile: as the class says.
    """
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        file = ModelsFile.model_validate(content)
    except OSError as error:
        raise WrongModelsFile(f"HOPLINE_MODELS: {path} can't be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongModelsFile(f"HOPLINE_MODELS: {path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        sentence = first["msg"].removeprefix("Value error, ")
        raise WrongModelsFile(f"HOPLINE_MODELS: {path}: {place}: {sentence}.") from error
    for name, entry in file.models.items():
        if entry.provider not in file.providers:
            raise WrongModelsFile(f"HOPLINE_MODELS: {path}: models.{name}: no provider {entry.provider!r} here.")
    if file.default is not None and file.default not in file.models:
        raise WrongModelsFile(f"HOPLINE_MODELS: {path}: default: no model {file.default!r} here.")
    return file
