from pathlib import Path

from local.child_environment import base_url, child_environment
from local.process_table import BY_NAME, DATABASE_SETTINGS, PROCESSES
from local.secret_file import load_secrets

PORTS = {process.name: process.default_port for process in PROCESSES}
ROOT = Path("/clone")


def environment(tmp_path: Path, name: str = "gateway", *, viewer_runs: bool = False, **given: str) -> dict[str, str]:
    return child_environment(
        BY_NAME[name],
        root=ROOT,
        state_dir=tmp_path,
        ports=PORTS,
        secrets=load_secrets(tmp_path),
        given=given,
        viewer_runs=viewer_runs,
    )


def test_every_process_is_told_its_port_and_where_the_others_are(tmp_path: Path) -> None:
    values = environment(tmp_path)
    for process in PROCESSES:
        assert values[process.port_setting] == str(process.default_port)
        if process.url_setting:
            assert values[process.url_setting] == f"http://127.0.0.1:{process.default_port}"


def test_each_service_has_a_role_and_a_database_of_its_own(tmp_path: Path) -> None:
    urls = [environment(tmp_path)[setting] for setting in DATABASE_SETTINGS.values()]
    assert [url.split(":")[1] for url in urls] == ["//hopline_gateway", "//hopline_chat", "//hopline_tracking"]
    assert [url.rpartition("/")[2] for url in urls] == ["hopline_gateway", "hopline_chat", "hopline_tracking"]
    assert len({url.split(":")[2].split("@")[0] for url in urls}) == 3


def test_what_a_person_gives_wins(tmp_path: Path) -> None:
    values = environment(tmp_path, REDIS_URL="redis://mine", SENTRY_TRACES_SAMPLE_RATE="0.2")
    assert values["REDIS_URL"] == "redis://mine"
    assert values["SENTRY_TRACES_SAMPLE_RATE"] == "0.2"


def test_a_provider_of_ones_own_hides_the_local_models_file(tmp_path: Path) -> None:
    assert environment(tmp_path)["HOPLINE_MODELS"] == str(tmp_path / "models.toml")
    assert "HOPLINE_MODELS" not in environment(tmp_path, OPENAI_API_KEY="sk-x")


def test_traces_go_to_spotlight_only_when_it_runs(tmp_path: Path) -> None:
    assert "SENTRY_DSN" not in environment(tmp_path)
    values = environment(tmp_path, viewer_runs=True)
    assert values["SENTRY_DSN"] == "http://spotlight@127.0.0.1:8969/1"
    assert values["SENTRY_WEB_URL"] == "http://127.0.0.1:8969"


def test_programs_that_are_not_ours_get_no_secret(tmp_path: Path) -> None:
    assert environment(tmp_path, "postgres") == {}
    assert environment(tmp_path, "spotlight", OPENAI_API_KEY="sk-x") == {}


def test_an_address_that_means_all_is_reached_on_loopback() -> None:
    gateway = BY_NAME["gateway"]
    assert base_url(gateway, 8000, {"HOPLINE_BIND": "0.0.0.0"}) == "http://127.0.0.1:8000"
    assert base_url(gateway, 8000, {"HOPLINE_BIND": "10.0.0.5"}) == "http://10.0.0.5:8000"
    assert base_url(gateway, 8000, {"HOPLINE_BIND": "::1"}) == "http://[::1]:8000"


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    first = load_secrets(tmp_path)
    assert load_secrets(tmp_path) == first
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o600
    assert len(first["HOPLINE_SERVICE_KEY"]) >= 32
    assert len(set(first.values())) == len(first)
