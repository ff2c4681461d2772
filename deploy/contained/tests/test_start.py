"""A service is told of Spotlight where that runs and nothing else is said."""

import pytest

from contained.start import is_own_container, with_viewer


def test_spotlight_takes_the_telemetry_that_nobody_else_gets() -> None:
    assert with_viewer({"PATH": "/bin"}, runs=True) == {
        "PATH": "/bin",
        "SENTRY_DSN": "http://spotlight@spotlight:8969/1",
        "SENTRY_WEB_URL": "http://localhost:8969",
    }


def test_it_is_at_the_port_that_was_chosen() -> None:
    found = with_viewer({"HOPLINE_SPOTLIGHT_PORT": "9000", "SENTRY_DSN": ""}, runs=True)
    assert (found["SENTRY_DSN"], found["SENTRY_WEB_URL"]) == (
        "http://spotlight@spotlight:9000/1",
        "http://localhost:9000",
    )


@pytest.mark.parametrize("name", ["SENTRY_DSN", "SENTRY_DSN_FILE"])
def test_a_sentry_of_ones_own_gets_everything(name: str) -> None:
    assert with_viewer({name: "x"}, runs=True) == {name: "x"}


def test_without_it_nothing_is_said() -> None:
    assert with_viewer({}, runs=False) == {}


def test_a_name_that_leads_nowhere_is_no_container() -> None:
    assert not is_own_container("spotlight.invalid")
