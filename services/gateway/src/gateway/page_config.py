"""`/api/config`: what the page is told. Everybody may read it, so there is nothing secret in it."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from gateway.settings import GatewaySettings
from wire.version import VERSION

TUNNEL = "/monitoring"
TRACE_PLACE = "{trace_id}"
REPLAYS_ON_ERROR = 1.0


class SentryOfPage(BaseModel):
    model_config = ConfigDict(frozen=True)

    dsn: str
    release: str
    environment: str
    traces_sample_rate: float
    replays_session_sample_rate: float
    replays_on_error_sample_rate: float
    tunnel: str


class PageConfig(BaseModel):
    model_config = ConfigDict(frozen=True)

    version: str
    environment: str
    sign_in: Literal["local", "keys"]
    sentry: SentryOfPage | None
    """`None` without a DSN: the page sends nothing."""
    trace_url_template: str | None
    """Where a trace can be looked at, with `{trace_id}` in place of its id."""


def page_config(settings: GatewaySettings) -> PageConfig:
    return PageConfig(
        version=VERSION,
        environment=settings.sentry_environment,
        sign_in=settings.sign_in,
        sentry=None if settings.sentry_dsn is None else _sentry(settings, settings.sentry_dsn),
        trace_url_template=trace_url_template(settings.sentry_web_url, settings.sentry_dsn),
    )


def _sentry(settings: GatewaySettings, dsn: str) -> SentryOfPage:
    rate = settings.traces_sample_rate
    takes_replays = not is_spotlight(settings.sentry_web_url, dsn)  # Spotlight answers 500 to replays
    return SentryOfPage(
        dsn=dsn,
        release=f"hopline@{settings.sentry_release}",
        environment=settings.sentry_environment,
        traces_sample_rate=rate,
        replays_session_sample_rate=rate if takes_replays else 0.0,
        replays_on_error_sample_rate=REPLAYS_ON_ERROR if takes_replays else 0.0,
        tunnel=TUNNEL,
    )


def trace_url_template(web_url: str | None, dsn: str | None) -> str | None:
    """`SENTRY_WEB_URL` as it is when it says where the id goes; else what Sentry's and Spotlight's pages look like."""
    if web_url is None or TRACE_PLACE in web_url:
        return web_url
    base = web_url.rstrip("/")
    if is_spotlight(web_url, dsn):
        return f"{base}/telemetry/traces/{TRACE_PLACE}"
    return f"{base}/performance/trace/{TRACE_PLACE}/"


def is_spotlight(web_url: str | None, dsn: str | None) -> bool:
    """Spotlight takes envelopes and shows them on one port, and its DSN's key is its name."""
    if web_url is None or dsn is None:
        return False
    web, ingest = urlsplit(web_url), urlsplit(dsn)
    return ingest.username == "spotlight" and web.port == ingest.port
