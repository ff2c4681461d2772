"""Which models there are and how each is reached: a `models.toml`, or all that one provider lists."""

import time
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from chat.settings import ProviderSettings, read_variable
from wire.contracts.chat import Model, ModelList
from wire.contracts.money import Price
from wire.log import get_logger

DISCOVERED_PROVIDER = "openai"
DISCOVERY_TTL_S = 60.0
RETRY_DISCOVERY_S = 5.0

log = get_logger(__name__)


class WrongModelsFile(Exception):
    """`models.toml` can't be read or says what makes no sense; the sentence names the place."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderEntry(_Entry):
    base_url: Annotated[str, Field(pattern=r"^https?://")]
    api_key_env: str | None = None


class ModelEntry(_Entry):
    provider: str
    upstream: str | None = None
    description: str | None = None
    context_window: Annotated[int, Field(ge=256)] | None = None
    connect_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    idle_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    retries: Annotated[int, Field(ge=0, le=5)] = 1
    continues_prefill: bool = False
    price: Price | None = None


class ModelsFile(_Entry):
    default: str | None = None
    providers: dict[str, ProviderEntry]
    models: Annotated[dict[str, ModelEntry], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Provider:
    name: str
    base_url: str
    api_key: SecretStr | None


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """One model as people name it, and the way to it."""

    id: str
    provider: Provider
    entry: ModelEntry

    @property
    def upstream(self) -> str:
        return self.entry.upstream or self.id


ListUpstream = Callable[[Provider], Awaitable[list[str]]]
"""Asks a provider for its models' names."""


class Catalogue:
    """The models on offer. A discovered list is asked for again every minute, and the last good one is kept."""

    def __init__(self, settings: ProviderSettings, list_upstream: ListUpstream) -> None:
        """Raises:
        WrongModelsFile: as the class says.
        """
        self._list_upstream = list_upstream
        self._file = None if settings.models_file is None else read_models_file(settings.models_file)
        self._provider = Provider(DISCOVERED_PROVIDER, settings.openai_base_url, settings.openai_api_key)
        self._discovered: list[str] = []
        self._asked_at = float("-inf")

    async def models(self) -> ModelList:
        if self._file is not None:
            routes = [self._route_of(name, entry, self._file) for name, entry in self._file.models.items()]
            default = self._file.default or routes[0].id
        else:
            await self._discover()
            routes = [self._discovered_route(name) for name in self._discovered]
            default = routes[0].id if routes else None
        return ModelList(default=default, models=[_offer(route) for route in routes])

    async def find(self, name: str) -> ModelRoute | None:
        """The way to a model, or `None` when it is not on offer.

        When a provider's list could not be had, any name is taken at its word: the provider will say.
        """
        if self._file is not None:
            return self.route(name)
        if name not in self._discovered:
            await self._discover()
        if self._discovered and name not in self._discovered:
            return None
        return self._discovered_route(name)

    def route(self, name: str) -> ModelRoute | None:
        """The way to a model that was on offer when its turn was accepted; asks nobody."""
        if self._file is None:
            return self._discovered_route(name)
        entry = self._file.models.get(name)
        return None if entry is None else self._route_of(name, entry, self._file)

    async def default(self) -> str | None:
        return (await self.models()).default

    def _route_of(self, name: str, entry: ModelEntry, file: ModelsFile) -> ModelRoute:
        provider = file.providers[entry.provider]
        key = read_variable(provider.api_key_env) if provider.api_key_env else None
        return ModelRoute(name, Provider(entry.provider, provider.base_url, SecretStr(key) if key else None), entry)

    def _discovered_route(self, name: str) -> ModelRoute:
        return ModelRoute(name, self._provider, ModelEntry(provider=DISCOVERED_PROVIDER))

    async def _discover(self) -> None:
        age = time.monotonic() - self._asked_at
        if age < (DISCOVERY_TTL_S if self._discovered else RETRY_DISCOVERY_S):
            return
        self._asked_at = time.monotonic()
        try:
            self._discovered = sorted(await self._list_upstream(self._provider))
        except Exception as error:  # whatever is wrong with the provider, the last good list still stands
            log.warning("the provider's models can't be listed", error=type(error).__name__)


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
        raise WrongModelsFile(f"HOPLINE_MODELS: {path}: {place}: {first['msg']}.") from error
    for name, entry in file.models.items():
        if entry.provider not in file.providers:
            raise WrongModelsFile(f"HOPLINE_MODELS: {path}: models.{name}: no provider {entry.provider!r} here.")
    if file.default is not None and file.default not in file.models:
        raise WrongModelsFile(f"HOPLINE_MODELS: {path}: default: no model {file.default!r} here.")
    return file


def _offer(route: ModelRoute) -> Model:
    return Model(
        id=route.id,
        provider=route.provider.name,
        context_window=route.entry.context_window,
        description=route.entry.description,
        price=route.entry.price,
    )
