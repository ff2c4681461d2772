"""Without a `models.toml`: all that one provider lists is on offer."""

import asyncio

import pytest
from pydantic import SecretStr, ValidationError

from chat.catalogue import DISCOVERY_TTL_S, RETRY_DISCOVERY_S, Catalogue, Provider
from chat.provider.client import ProviderClients
from chat.settings import ProviderSettings
from parts.scripted_provider import ScriptedProvider
from wire.contracts.chat import Model, ModelList


class Upstream:
    """A provider's list, as a test wants it; a list of `None` can't be had."""

    def __init__(self, names: list[str] | None) -> None:
        self.names = names
        self.asked = 0
        self.now_s = 1000.0
        self.answering = asyncio.Event()
        self.answering.set()

    async def list_models(self, _provider: Provider) -> list[str]:
        self.asked += 1
        await self.answering.wait()
        if self.names is None:
            raise ConnectionRefusedError
        return self.names

    def clock(self) -> float:
        return self.now_s

    def catalogue(self) -> Catalogue:
        return Catalogue(ProviderSettings(models_file=None), self.list_models, clock=self.clock)


def offered(models: ModelList) -> list[str]:
    return [model.id for model in models.models]


async def test_a_real_providers_models_are_on_offer_sorted(
    provider: ScriptedProvider, clients: ProviderClients
) -> None:
    settings = ProviderSettings(
        models_file=None,
        openai_base_url=provider.base_url,
        openai_api_key=SecretStr("sk-of-the-scripted-provider"),
    )
    assert await Catalogue(settings, clients.list_models).models() == ModelList(
        default="alpha",
        models=[
            Model(id=name, provider="openai") for name in ("alpha", "beta-2026", "impatient", "once", "prefilling")
        ],
    )


async def test_a_wrong_key_offers_nothing_and_is_no_error(provider: ScriptedProvider, clients: ProviderClients) -> None:
    settings = ProviderSettings(models_file=None, openai_base_url=provider.base_url, openai_api_key=SecretStr("wrong"))
    assert await Catalogue(settings, clients.list_models).models() == ModelList(default=None, models=[])


async def test_a_list_is_asked_for_once_a_minute() -> None:
    upstream = Upstream(["one"])
    catalogue = upstream.catalogue()
    await catalogue.models()
    upstream.names = ["one", "two"]
    upstream.now_s += DISCOVERY_TTL_S - 1
    assert offered(await catalogue.models()) == ["one"]
    upstream.now_s += 1
    assert offered(await catalogue.models()) == ["one", "two"]
    assert upstream.asked == 2


async def test_whoever_comes_while_the_list_is_asked_for_waits_for_it() -> None:
    upstream = Upstream(["one"])
    upstream.answering.clear()
    catalogue = upstream.catalogue()
    both = asyncio.gather(catalogue.models(), catalogue.find("other"))
    await asyncio.sleep(0)
    upstream.answering.set()
    models, other = await both
    assert (offered(models), other, upstream.asked) == (["one"], None, 1)


async def test_the_last_good_list_stands_while_the_provider_is_away() -> None:
    upstream = Upstream(["one"])
    catalogue = upstream.catalogue()
    await catalogue.models()
    upstream.names = None
    upstream.now_s += DISCOVERY_TTL_S
    assert offered(await catalogue.models()) == ["one"]
    assert await catalogue.find("other") is None


async def test_a_list_that_could_not_be_had_is_asked_for_again_soon() -> None:
    upstream = Upstream(None)
    catalogue = upstream.catalogue()
    assert await catalogue.models() == ModelList(default=None, models=[])
    upstream.names = ["one"]
    assert offered(await catalogue.models()) == []
    upstream.now_s += RETRY_DISCOVERY_S
    assert offered(await catalogue.models()) == ["one"]
    assert upstream.asked == 2


@pytest.mark.parametrize(
    ("names", "default"),
    [
        (["babbage-002", "chatgpt-latest", "dall-e-3", "gpt-large"], "chatgpt-latest"),
        (["all-minilm-embed", "llama3"], "llama3"),
        (["whisper-1"], "whisper-1"),
        ([], None),
    ],
)
async def test_the_default_is_the_first_whose_name_does_not_speak_against_chatting(
    names: list[str], default: str | None
) -> None:
    assert await Upstream(names).catalogue().default() == default


async def test_without_a_list_any_name_is_taken_at_its_word() -> None:
    route = await Upstream(None).catalogue().find("whatever")
    assert route is not None
    assert (route.id, route.upstream, route.provider.name) == ("whatever", "whatever", "openai")


async def test_with_a_list_only_its_names_are_on_offer() -> None:
    catalogue = Upstream(["one"]).catalogue()
    known = await catalogue.find("one")
    assert known is not None
    assert known.upstream == "one"
    assert await catalogue.find("two") is None


def test_a_model_that_was_on_offer_once_still_has_its_route() -> None:
    upstream = Upstream(["one"])
    route = upstream.catalogue().route("gone since")
    assert route is not None
    assert (route.upstream, upstream.asked) == ("gone since", 0)


@pytest.mark.parametrize("url", ["localhost:1234/v1", "ftp://far.example", "http://", "http://[::1", "http://a b/v1"])
def test_an_address_that_is_none_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ValidationError, match="names a host"):
        ProviderSettings(openai_base_url=url)


@pytest.mark.parametrize("key", ["sk one", "sk\n", "clé"])
def test_a_key_that_no_header_can_carry_is_a_wrong_setting(key: str) -> None:
    with pytest.raises(ValidationError, match="ASCII only"):
        ProviderSettings(openai_api_key=SecretStr(key))
