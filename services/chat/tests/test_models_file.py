"""`models.toml`: what it says, and the one sentence for each thing that is wrong with it."""

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from chat.catalogue import Catalogue, ModelRoute, Provider
from chat.models_file import ModelEntry, PriceEntry, WrongModelsFile
from chat.settings import ProviderSettings
from wire.contracts.chat import Model, ModelList
from wire.contracts.money import Price

GOOD = """
default = "large"
[providers.local]
base_url = "http://127.0.0.1:8003/v1"
[providers.far]
base_url = "https://far.example/v1"
api_key_env = "FAR_KEY"
[models."smollm2-135m"]
provider = "local"
[models.large]
provider = "far"
upstream = "large-2026"
context_window = 8192
description = "Large"
idle_timeout_s = 5
connect_timeout_s = 2.5
continues_prefill = true
retries = 3
price = { input = "0.15", cached_input = 0.075, output = 1 }
"""


async def list_nothing(_provider: Provider) -> list[str]:
    raise AssertionError("with a file nobody is asked")


def catalogue_of(path: Path) -> Catalogue:
    return Catalogue(ProviderSettings(models_file=path), list_nothing)


def write(folder: Path, content: str) -> Path:
    path = folder / "models.toml"
    path.write_text(content)
    return path


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.setenv("FAR_KEY", "sk-far")
    return catalogue_of(write(tmp_path, GOOD))


async def test_the_models_are_on_offer_in_the_files_order(catalogue: Catalogue) -> None:
    price = Price(input=Decimal("0.15"), cached_input=Decimal("0.075"), output=Decimal(1))
    expected = ModelList(
        default="large",
        models=[
            Model(id="smollm2-135m", provider="local"),
            Model(id="large", provider="far", context_window=8192, description="Large", price=price),
        ],
    )
    assert (await catalogue.models()).model_dump() == expected.model_dump()


async def test_a_route_holds_all_that_the_file_says_and_the_key(catalogue: Catalogue) -> None:
    route = catalogue.route("large")
    assert route == await catalogue.find("large")
    assert route == ModelRoute(
        "large",
        Provider("far", "https://far.example/v1", SecretStr("sk-far")),
        ModelEntry(
            provider="far",
            upstream="large-2026",
            context_window=8192,
            description="Large",
            idle_timeout_s=5,
            connect_timeout_s=2.5,
            continues_prefill=True,
            retries=3,
            price=PriceEntry(input=Decimal("0.15"), cached_input=Decimal("0.075"), output=Decimal(1)),
        ),
    )


async def test_a_model_goes_by_its_own_name_at_the_provider_unless_told_otherwise(catalogue: Catalogue) -> None:
    small, large = catalogue.route("smollm2-135m"), catalogue.route("large")
    assert (small and small.upstream, large and large.upstream) == ("smollm2-135m", "large-2026")


async def test_a_model_that_is_not_in_the_file_is_not_on_offer(catalogue: Catalogue) -> None:
    assert (catalogue.route("other"), await catalogue.find("other")) == (None, None)


async def test_without_a_default_the_first_model_is_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-far")
    catalogue = catalogue_of(write(tmp_path, GOOD.replace('default = "large"\n', "")))
    assert await catalogue.default() == "smollm2-135m"


async def test_a_provider_whose_key_variable_is_not_set_is_called_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAR_KEY", raising=False)
    route = catalogue_of(write(tmp_path, GOOD)).route("large")
    assert route is not None
    assert route.provider == Provider("far", "https://far.example/v1", None)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "default =",
            "default",
            "is not valid TOML: Expected '=' after a key in a key/value pair (at line 2, column 9).",
        ),
        ('default = "large"', 'default = "huge"', "default: no model 'huge' here."),
        ('provider = "far"', 'provider = "near"', "models.large: no provider 'near' here."),
        ('provider = "far"', "", "models.large.provider: Field required."),
        (
            'provider = "far"',
            'provider = "far"\ncolour = "red"',
            "models.large.colour: Extra inputs are not permitted.",
        ),
        ("= 8192", "= 8", "models.large.context_window: Input should be greater than or equal to 256."),
        ("retries = 3", "retries = 9", "models.large.retries: Input should be less than or equal to 5."),
        ("_s = 5", "_s = 0", "models.large.idle_timeout_s: Input should be greater than 0."),
        (", output = 1", "", "models.large.price.output: Field required."),
        ("output = 1", "output = -1", "models.large.price.output: Input should be greater than or equal to 0."),
        ("output = 1", "output = nan", "models.large.price.output: Input should be a finite number."),
        ("cached_input", "cached", "models.large.price.cached: Extra inputs are not permitted."),
        (
            "https://far.example/v1",
            "far.example/v1",
            "providers.far.base_url: this is no address that begins with http:// or https:// and names a host.",
        ),
        (
            "https://far.example/v1",
            "http://[::1",
            "providers.far.base_url: this is no address that begins with http:// or https:// and names a host.",
        ),
        (GOOD, "[providers]\n[models]", "models: Dictionary should have at least 1 item after validation, not 0."),
        (GOOD, "", "providers: Field required."),
    ],
    ids=lambda value: f"{value:.40}",
)
def test_what_is_wrong_is_one_sentence_that_names_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, sentence: str
) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-far")
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(WrongModelsFile) as raised:
        catalogue_of(path)
    separator = " " if sentence.startswith("is ") else ": "
    assert str(raised.value) == f"HOPLINE_MODELS: {path}{separator}{sentence}"


@pytest.mark.parametrize("key", ["sk far", "sk\nfar", "clé"])
def test_a_key_that_can_not_be_sent_is_wrong_and_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("FAR_KEY", key)
    path = write(tmp_path, GOOD)
    with pytest.raises(WrongModelsFile) as raised:
        catalogue_of(path)
    assert str(raised.value) == (
        f"HOPLINE_MODELS: {path}: providers.far.api_key_env: "
        "the value of FAR_KEY holds what no key does, such as white space."
    )


@pytest.mark.parametrize(
    ("path", "reason"), [("nowhere/models.toml", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_can_not_be_read_is_wrong(tmp_path: Path, path: str, reason: str) -> None:
    with pytest.raises(WrongModelsFile) as raised:
        catalogue_of(tmp_path / path)
    assert str(raised.value) == f"HOPLINE_MODELS: {tmp_path / path} can't be read ({reason})."


def test_a_file_of_bytes_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WrongModelsFile, match=r"models\.toml is not valid TOML: "):
        catalogue_of(path)
