"""What the gateway reads from the environment, and who it keeps out by it."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.app import Drain, create_app
from gateway.host_guard import HostGuard
from gateway.settings import GatewaySettings
from wire.health import Health
from wire.process_settings import EXIT_WRONG_SETTING, load_settings

ENVIRONMENT = {
    "HOPLINE_SERVICE_KEY": "k" * 32,
    "HOPLINE_GATEWAY_DATABASE_URL": "postgresql://u:p@127.0.0.1:5432/hopline_gateway",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def app_with(**fields: Any) -> FastAPI:
    known: dict[str, Any] = {"service_key": SecretStr("k" * 32), "database_url": SecretStr("postgresql://h/d")}
    health = Health("gateway")
    return create_app(GatewaySettings(**(known | fields)), health, Drain(health))


def is_guarded(app: FastAPI) -> bool:
    return any(middleware.cls is HostGuard for middleware in app.user_middleware)


def test_defaults_are_those_of_one_machine() -> None:
    settings = load_settings(GatewaySettings)
    assert (settings.bind, settings.port, settings.sign_in) == ("127.0.0.1", 8000, "local")
    assert settings.static_dir == Path("frontend/dist")
    assert settings.internal_urls == tuple(f"http://127.0.0.1:{port}" for port in (8001, 8011, 8002, 8012))


def test_it_listens_where_people_reach_it_unless_something_stands_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPLINE_BIND", "192.168.1.5")
    assert load_settings(GatewaySettings).listens_on == "192.168.1.5"
    monkeypatch.setenv("HOPLINE_GATEWAY_LISTEN", "0.0.0.0")
    settings = load_settings(GatewaySettings)
    assert (settings.bind, settings.listens_on) == ("192.168.1.5", "0.0.0.0")


def test_allowed_hosts_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPLINE_ALLOWED_HOSTS", "Chat.Example, ,other.example:8443")
    assert load_settings(GatewaySettings).allowed_hosts == {"chat.example", "other.example:8443"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOPLINE_GATEWAY_PORT", "http"),
        ("HOPLINE_GATEWAY_PORT", "0"),
        ("HOPLINE_CHAT_URL", "127.0.0.1:8001"),
        ("HOPLINE_TRACKING_URL", "http://host:port"),
        ("HOPLINE_GATEWAY_DATABASE_URL", "mysql://u:secret@h/d"),
        ("HOPLINE_SIGN_IN", "oauth"),
    ],
)
def test_a_wrong_value_stops_the_process_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load_settings(GatewaySettings)
    said = capsys.readouterr().err
    assert ended.value.code == EXIT_WRONG_SETTING
    assert said.startswith(f"Wrong setting: {name}: ")
    assert "secret" not in said


def test_other_sites_are_kept_out_where_nobody_signs_in() -> None:
    assert is_guarded(app_with(sign_in="local", bind="127.0.0.1"))
    assert is_guarded(app_with(sign_in="local", bind="0.0.0.0"))


def test_other_sites_are_kept_out_of_a_gateway_on_loopback_even_with_sign_in() -> None:
    assert is_guarded(app_with(sign_in="keys", bind="localhost"))
    assert not is_guarded(app_with(sign_in="keys", bind="0.0.0.0"))


def test_without_sign_in_beyond_this_machine_there_is_a_warning() -> None:
    with capture_logs() as lines:
        app_with(sign_in="local", bind="127.0.0.1")
        app_with(sign_in="keys", bind="0.0.0.0")
        assert lines == []
        app_with(sign_in="local", bind="0.0.0.0")
    assert [(line["log_level"], line["bind"]) for line in lines] == [("warning", "0.0.0.0")]
