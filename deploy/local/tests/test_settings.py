from pathlib import Path

import pytest

from local.errors import SettingError
from local.process_table import BY_NAME, PROCESSES
from local.settings import LauncherSettings, ports_from, read_settings


def settings(**values: str) -> LauncherSettings:
    return LauncherSettings(values=values, state_dir=Path("/state"), ports=ports_from(values))


def running(given: LauncherSettings) -> set[str]:
    return {process.name for process in PROCESSES if given.runs(process)}


def test_without_a_setting_everything_runs_on_the_ports_of_the_table() -> None:
    given = settings()
    assert running(given) == set(BY_NAME)
    assert given.ports == {process.name: process.default_port for process in PROCESSES}


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_BASE_URL", "HOPLINE_MODELS"])
def test_a_provider_takes_the_place_of_the_local_model(name: str) -> None:
    assert set(BY_NAME) - running(settings(**{name: "x"})) == {"local-model"}


def test_a_dsn_takes_the_place_of_spotlight() -> None:
    assert set(BY_NAME) - running(settings(SENTRY_DSN="https://k@example.org/1")) == {"spotlight"}


def test_a_redis_of_ones_own_takes_the_place_of_valkey() -> None:
    assert set(BY_NAME) - running(settings(REDIS_URL="redis://r")) == {"valkey"}


def test_only_all_three_database_urls_take_the_place_of_postgres() -> None:
    two = {"HOPLINE_GATEWAY_DATABASE_URL": "a", "HOPLINE_CHAT_DATABASE_URL": "b"}
    assert "postgres" in running(settings(**two))
    assert "postgres" not in running(settings(**two, HOPLINE_TRACKING_DATABASE_URL="c"))


@pytest.mark.parametrize("written", ["x", "0", "65536", "-1", "80.5", "٣"])
def test_a_wrong_port_names_its_setting(written: str) -> None:
    with pytest.raises(SettingError, match="HOPLINE_CHAT_PORT"):
        ports_from({"HOPLINE_CHAT_PORT": written})


def test_two_processes_on_one_port_are_both_named() -> None:
    with pytest.raises(SettingError, match=r"gateway and tracking both want port 8002: change HOPLINE_GATEWAY_PORT"):
        ports_from({"HOPLINE_GATEWAY_PORT": "8002"})


def test_the_environment_wins_over_the_file_and_an_empty_value_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("HOPLINE_CHAT_PORT=9001\nHOPLINE_BIND=0.0.0.0\nSENTRY_DSN=\nMY_KEY=from-file\n")
    monkeypatch.setenv("HOPLINE_CHAT_PORT", "9002")
    monkeypatch.setenv("MY_KEY", "from-environment")
    given = read_settings(tmp_path)
    assert given.ports["chat"] == 9002
    assert given.bind_of(BY_NAME["gateway"]) == "0.0.0.0"
    assert given.uses_spotlight
    assert given.values["MY_KEY"] == "from-environment"


def test_the_state_directory_is_relative_to_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPLINE_STATE_DIR", "second")
    assert read_settings(tmp_path).state_dir == tmp_path / "second"


def test_a_service_is_given_longer_than_it_waits_itself() -> None:
    given = settings(HOPLINE_DRAIN_TIMEOUT_S="60")
    assert given.stop_grace_s(BY_NAME["chat-worker"]) == 62.0
    assert given.stop_grace_s(BY_NAME["valkey"]) == BY_NAME["valkey"].stop_grace_s
