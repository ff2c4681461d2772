"""Which models there are and how each is reached: a `models.toml`, or all that one provider lists."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from chat.models_file import ModelEntry, ModelsFile, ProviderEntry, WrongModelsFile, read_models_file
from chat.settings import ProviderSettings, is_sendable
from wire.contracts.chat import Model, ModelList
from wire.log import get_logger
from wire.process_settings import UnreadableFile, read_variable

DISCOVERED_PROVIDER = "openai"
DISCOVERY_TTL_S = 60.0
RETRY_DISCOVERY_S = 5.0
NO_CHAT_MODEL = re.compile(
    "embed|whisper|tts|dall-e|image|moderation|audio|realtime|transcribe|babbage|davinci|rerank|sora", re.I
)

log = get_logger(__name__)


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

    def __init__(
        self, settings: ProviderSettings, list_upstream: ListUpstream, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises:
        WrongModelsFile: the file, or a key that it names, can't be used.
        """
        self._list_upstream = list_upstream
        self._clock = clock
        self._provider = Provider(DISCOVERED_PROVIDER, settings.openai_base_url, settings.openai_api_key)
        self._routes: dict[str, ModelRoute] | None = None
        """By the file, in its order; `None` without one."""
        self._default: str | None = None
        if settings.models_file is not None:
            file = read_models_file(settings.models_file)
            self._routes = _routes_of(file, settings.models_file)
            self._default = file.default or next(iter(self._routes))
        self._discovered: list[str] = []
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def providers(self) -> set[Provider]:
        """Those that may be called."""
        return {self._provider} if self._routes is None else {route.provider for route in self._routes.values()}

    async def models(self) -> ModelList:
        if self._routes is not None:
            return ModelList(default=self._default, models=[_offer(route) for route in self._routes.values()])
        await self._discover()
        routes = [self._discovered_route(name) for name in self._discovered]
        return ModelList(default=_default_of(self._discovered), models=[_offer(route) for route in routes])

    async def find(self, name: str) -> ModelRoute | None:
        """The way to a model, or `None` when it is not on offer.

        When a provider's list could not be had, any name is taken at its word: the provider will say.
        """
        if self._routes is not None:
            return self._routes.get(name)
        if name not in self._discovered:
            await self._discover()
        if self._discovered and name not in self._discovered:
            return None
        return self._discovered_route(name)

    def route(self, name: str) -> ModelRoute | None:
        """The way to a model that was on offer when its turn was accepted; asks nobody."""
        return self._discovered_route(name) if self._routes is None else self._routes.get(name)

    async def default(self) -> str | None:
        return (await self.models()).default

    def _discovered_route(self, name: str) -> ModelRoute:
        return ModelRoute(name, self._provider, ModelEntry(provider=DISCOVERED_PROVIDER))

    async def _discover(self) -> None:
        """One asks, whoever comes meanwhile waits for the answer."""
        async with self._asking:
            age = self._clock() - self._asked_at
            if age < (DISCOVERY_TTL_S if self._discovered else RETRY_DISCOVERY_S):
                return
            try:
                self._discovered = sorted(await self._list_upstream(self._provider))
            except Exception as error:  # whatever is wrong with the provider, the last good list still stands
                log.warning("the provider's models can't be listed", error=type(error).__name__)
            self._asked_at = self._clock()


def _default_of(names: list[str]) -> str | None:
    """A list does not say which models chat. Those whose name speaks against it are offered, but not as the default."""
    chatting = (name for name in names if not NO_CHAT_MODEL.search(name))
    return next(chatting, names[0] if names else None)


def _routes_of(file: ModelsFile, path: Path) -> dict[str, ModelRoute]:
    providers = {
        name: Provider(name, entry.base_url, _key_of(name, entry, path)) for name, entry in file.providers.items()
    }
    return {name: ModelRoute(name, providers[entry.provider], entry) for name, entry in file.models.items()}


def _key_of(provider: str, entry: ProviderEntry, path: Path) -> SecretStr | None:
    if entry.api_key_env is None:
        return None
    try:
        key = read_variable(entry.api_key_env)
    except UnreadableFile as error:
        raise WrongModelsFile(str(error)) from error
    if key is None:
        log.warning("the variable with a provider's key is not set", provider=provider, variable=entry.api_key_env)
        return None
    if not is_sendable(key):
        place = f"HOPLINE_MODELS: {path}: providers.{provider}.api_key_env"
        raise WrongModelsFile(f"{place}: the value of {entry.api_key_env} holds what no key does, such as white space.")
    return SecretStr(key)


def _offer(route: ModelRoute) -> Model:
    return Model(
        id=route.id,
        provider=route.provider.name,
        context_window=route.entry.context_window,
        description=route.entry.description,
        price=route.entry.price,
    )
