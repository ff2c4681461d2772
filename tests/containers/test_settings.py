"""What compose makes of settings, before anything is started."""

import json
from typing import Any

import pytest

from containers.composition import Composition

SIGNED = {"HOPLINE_DOMAIN": "chat.example.org", "HOPLINE_SIGN_IN": "keys"}


def services(**settings: str) -> dict[str, Any]:
    """Those that would run, as compose sees them."""
    composition = Composition("hopline-settings", 8000, settings)
    return json.loads(composition.compose("config", "--format", "json"))["services"]


def published(service: dict[str, Any]) -> set[tuple[str, str, int]]:
    """`(address, port of this machine, port of the container)`"""
    return {(port.get("host_ip", ""), port["published"], port["target"]) for port in service["ports"]}


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY_FILE", "HOPLINE_MODELS"])
def test_a_provider_takes_the_place_of_the_local_model(name: str) -> None:
    assert "local-model" in services()
    assert "local-model" not in services(**{name: "/dev/null"})


def test_the_profile_brings_the_local_model_back() -> None:
    assert "local-model" in services(OPENAI_API_KEY="sk-x", COMPOSE_PROFILES="local-model")


def test_only_chat_is_told_of_a_provider() -> None:
    told = {name for name, one in services(OPENAI_API_KEY="sk-x").items() if "sk-x" in json.dumps(one)}
    assert told == {"chat", "chat-worker"}


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({}, "/etc/hopline/models.toml"),
        ({"HOPLINE_MODELS": "/dev/null", "OPENAI_API_KEY": "sk-x"}, "/etc/hopline/models.toml"),
        ({"OPENAI_API_KEY": "sk-x"}, ""),
    ],
)
def test_a_file_with_models_is_read_where_there_is_one(settings: dict[str, str], variable: str) -> None:
    assert services(**settings)["chat-worker"]["environment"]["HOPLINE_MODELS"] == variable


def test_one_setting_opens_the_door_to_others() -> None:
    found = services(HOPLINE_BIND="0.0.0.0")
    assert published(found["proxy"]) == {("0.0.0.0", "8000", 8000)}
    assert found["gateway"]["environment"]["HOPLINE_BIND"] == "0.0.0.0"


def test_a_domain_means_https_for_everybody() -> None:
    found = services(**SIGNED)
    assert published(found["proxy"]) == {("0.0.0.0", "80", 80), ("0.0.0.0", "443", 443)}
    assert found["proxy"]["environment"]["HOPLINE_SITE"] == "chat.example.org"
    gateway = found["gateway"]["environment"]
    assert (gateway["HOPLINE_BIND"], gateway["HOPLINE_ALLOWED_HOSTS"]) == ("0.0.0.0", "chat.example.org,")


def test_a_domain_wants_to_know_who_may_come_in() -> None:
    done = Composition("hopline-settings", 8000, {"HOPLINE_DOMAIN": "chat.example.org"}).try_compose("config")
    assert done.returncode != 0
    assert "Set HOPLINE_SIGN_IN=keys" in done.stderr


def test_spotlight_is_away_until_its_profile_is_asked_for_and_has_no_way_out() -> None:
    assert "spotlight" not in services()
    found = services(COMPOSE_PROFILES="spotlight")
    assert set(found["spotlight"]["networks"]) == {"inside"}
    assert published(found["spotlight-page"]) == {("127.0.0.1", "8969", 8969)}
