"""What the page is told."""

from typing import Any

import pytest
from pydantic import SecretStr

from gateway.page_config import page_config, trace_url_template
from gateway.settings import GatewaySettings

SENTRY = "https://abc@sentry.example/42"
SPOTLIGHT = "http://spotlight@127.0.0.1:8969/1"


def settings(**fields: Any) -> GatewaySettings:
    known: dict[str, Any] = {"service_key": SecretStr("k" * 32), "database_url": SecretStr("postgresql://h/d")}
    return GatewaySettings(**(known | fields))


def test_without_a_dsn_the_page_has_no_sentry() -> None:
    config = page_config(settings())
    assert (config.sentry, config.trace_url_template, config.sign_in) == (None, None, "local")


def test_with_a_dsn_the_page_has_the_same_release_and_the_tunnel() -> None:
    config = page_config(settings(sentry_dsn=SENTRY, sentry_release="7", sentry_environment="test"))
    assert config.sentry is not None
    assert config.sentry.model_dump() == {
        "dsn": SENTRY,
        "release": "hopline@7",
        "environment": "test",
        "traces_sample_rate": 1.0,
        "replays_session_sample_rate": 1.0,
        "replays_on_error_sample_rate": 1.0,
        "tunnel": "/monitoring",
    }


def test_spotlight_is_sent_no_replays() -> None:
    config = page_config(settings(sentry_dsn=SPOTLIGHT, sentry_web_url="http://127.0.0.1:8969"))
    assert config.sentry is not None
    assert (config.sentry.replays_session_sample_rate, config.sentry.replays_on_error_sample_rate) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("web_url", "dsn", "template"),
    [
        (None, SENTRY, None),
        ("https://t.example/{trace_id}?x=1", SENTRY, "https://t.example/{trace_id}?x=1"),
        ("https://o.sentry.io/", SENTRY, "https://o.sentry.io/performance/trace/{trace_id}/"),
        ("http://127.0.0.1:8969", SPOTLIGHT, "http://127.0.0.1:8969/telemetry/traces/{trace_id}"),
        ("http://localhost:9000", "http://k@localhost:9000/2", "http://localhost:9000/performance/trace/{trace_id}/"),
    ],
)
def test_where_a_trace_can_be_looked_at(web_url: str | None, dsn: str, template: str | None) -> None:
    assert trace_url_template(web_url, dsn) == template
