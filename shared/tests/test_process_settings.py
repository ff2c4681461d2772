"""A wrong setting stops the process with one sentence that names the variable and never shows the value."""

import os
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from wire.database import DatabaseUrl
from wire.process_settings import Port, ProcessSettings, RedisSettings, load_settings

KEY = "0123456789abcdef0123456789abcdef"
DATABASE = "postgresql://ada:geheim@127.0.0.1:8432/hopline"


class ExampleSettings(ProcessSettings, RedisSettings):
    port: Annotated[Port, Field(validation_alias="HOPLINE_EXAMPLE_PORT")] = 8000
    database_url: Annotated[DatabaseUrl, Field(validation_alias="HOPLINE_EXAMPLE_DATABASE_URL")]


@pytest.fixture(autouse=True)
def right_environment(monkeypatch: pytest.MonkeyPatch) -> None:

    for name in list(os.environ):
        if name.startswith(("HOPLINE_", "SENTRY_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOPLINE_SERVICE_KEY", KEY)
    monkeypatch.setenv("HOPLINE_EXAMPLE_DATABASE_URL", DATABASE)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPLINE_EXAMPLE_PORT", "9001")
    monkeypatch.setenv("SENTRY_DSN", "http://key@127.0.0.1:8969/1")
    monkeypatch.setenv("REDIS_URL", "redis://:geheim@redis:6379/2")

    settings = load_settings(ExampleSettings)

    assert settings.port == 9001
    assert settings.sentry_dsn == "http://key@127.0.0.1:8969/1"
    assert settings.redis_url.get_secret_value() == "redis://:geheim@redis:6379/2"
    assert settings.database_url.get_secret_value() == DATABASE


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPLINE_EXAMPLE_PORT", "")
    monkeypatch.setenv("SENTRY_DSN", "")

    settings = load_settings(ExampleSettings)

    assert (settings.port, settings.sentry_dsn) == (8000, None)


def test_a_setting_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(KEY[::-1] + "\n")
    (tmp_path / "redis-url").write_text("redis://:geheim@redis:6379/2\n")
    monkeypatch.delenv("HOPLINE_SERVICE_KEY")
    monkeypatch.setenv("HOPLINE_SERVICE_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "redis-url"))

    settings = load_settings(ExampleSettings)

    assert settings.service_key.get_secret_value() == KEY[::-1]
    assert settings.redis_url.get_secret_value() == "redis://:geheim@redis:6379/2"


def test_what_the_environment_says_wins_over_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPLINE_SERVICE_KEY_FILE", "/nowhere")

    assert load_settings(ExampleSettings).service_key.get_secret_value() == KEY


def test_a_file_that_can_not_be_read_stops_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOPLINE_SERVICE_KEY")
    monkeypatch.setenv("HOPLINE_SERVICE_KEY_FILE", str(tmp_path / "key"))

    with pytest.raises(SystemExit) as exit_:
        load_settings(ExampleSettings)

    sentence = f"Wrong setting: HOPLINE_SERVICE_KEY_FILE: {tmp_path}/key can't be read: No such file or directory\n"
    assert (exit_.value.code, capsys.readouterr().err) == (78, sentence)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("HOPLINE_SERVICE_KEY", "", "HOPLINE_SERVICE_KEY: Field required"),
        ("HOPLINE_SERVICE_KEY", "geheim", "HOPLINE_SERVICE_KEY needs at least 32 characters"),
        (
            "HOPLINE_EXAMPLE_PORT",
            "geheim",
            "HOPLINE_EXAMPLE_PORT: Input should be a valid integer, unable to parse string as an integer",
        ),
        ("HOPLINE_EXAMPLE_PORT", "70000", "HOPLINE_EXAMPLE_PORT: Input should be less than or equal to 65535"),
        ("HOPLINE_LOG_FORMAT", "geheim", "HOPLINE_LOG_FORMAT: Input should be 'console' or 'json'"),
        ("HOPLINE_SIGN_IN", "geheim", "HOPLINE_SIGN_IN: Input should be 'local' or 'keys'"),
        (
            "SENTRY_TRACES_SAMPLE_RATE",
            "1.5",
            "SENTRY_TRACES_SAMPLE_RATE: Input should be less than or equal to 1",
        ),
        ("SENTRY_DSN", "geheim", "SENTRY_DSN: This is not a DSN such as https://key@host/1"),
        ("SENTRY_DSN", "https://geheim@host/project", "SENTRY_DSN: This is not a DSN such as https://key@host/1"),
        ("REDIS_URL", "geheim:6379", "REDIS_URL: This is not a URL such as redis://:password@host:6379/0"),
        (
            "REDIS_URL",
            "redis://:geheim@host:port/0",
            "REDIS_URL: This is not a URL such as redis://:password@host:6379/0",
        ),
        (
            "HOPLINE_EXAMPLE_DATABASE_URL",
            "mysql://ada:geheim@host/name",
            "HOPLINE_EXAMPLE_DATABASE_URL: This is not a URL such as postgresql://user:password@host:5432/name",
        ),
        (
            "HOPLINE_EXAMPLE_DATABASE_URL",
            "postgresql://ada:geheim@host:port/name",
            "HOPLINE_EXAMPLE_DATABASE_URL: This is not a URL such as postgresql://user:password@host:5432/name",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit) as exit_:
        load_settings(ExampleSettings)

    written = capsys.readouterr()
    assert (exit_.value.code, written.err, written.out) == (78, f"Wrong setting: {sentence}\n", "")
    assert "geheim" not in written.err


def test_each_of_several_wrong_settings_has_its_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOPLINE_EXAMPLE_PORT", "0")
    monkeypatch.setenv("HOPLINE_LOG_LEVEL", "loud")

    with pytest.raises(SystemExit):
        load_settings(ExampleSettings)

    assert sorted(capsys.readouterr().err.splitlines()) == [
        "Wrong setting: HOPLINE_EXAMPLE_PORT: Input should be greater than or equal to 1",
        "Wrong setting: HOPLINE_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'",
    ]


def test_secrets_do_not_show_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:geheim@redis:6379/2")

    shown = repr(load_settings(ExampleSettings))

    assert "geheim" not in shown
    assert KEY not in shown


@pytest.mark.parametrize(
    ("environment", "rate"),
    [
        ({}, 1.0),
        ({"HOPLINE_SIGN_IN": "keys"}, 0.1),
        ({"HOPLINE_SIGN_IN": "keys", "SENTRY_TRACES_SAMPLE_RATE": "0.5"}, 0.5),
        ({"SENTRY_TRACES_SAMPLE_RATE": "0"}, 0.0),
    ],
)
def test_traces_are_all_kept_in_the_local_mode_and_a_tenth_otherwise(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], rate: float
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert load_settings(ExampleSettings).traces_sample_rate == rate
