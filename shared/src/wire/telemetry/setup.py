"""Sentry's start and end in a process. Called before anything else is built."""

import asyncio
import logging
import warnings
from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.httpx import HttpxIntegration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration

from wire.process_settings import SentrySettings
from wire.telemetry.sampling import make_sampler
from wire.telemetry.scrub import scrub_breadcrumb, scrub_event

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

FLUSH_TIMEOUT_S = 4.0
TRANSPORT_QUEUE = 1000
NOTHING = {"mode": "off"}
REPORTED_ELSEWHERE = ("arq.worker", "uvicorn.error", "wire.queue_worker")
"""Loggers whose errors are captured where they happen; an error in any other logger's line is an event of its own."""


def start_telemetry(
    process: str, settings: SentrySettings, *, own_urls: tuple[str, ...] = (), at_the_edge: bool = False
) -> None:
    """Sentry is running under this process's own `server_name`; without a DSN spans are made and sent nowhere.

    `own_urls` are the only addresses that requests carry trace headers to: never a provider's.
    Integrations are named one by one. Left out on purpose: arq's carries no trace, openai's loses the span of a
    stream that breaks, redis's makes a span a command, httpx2's (the openai client's transport) would show our
    headers to the provider, asyncpg's doubles sqlalchemy's, asyncio's reports what a task raises to somebody who
    handles it. `spans` and the queue write theirs instead.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        sentry_sdk.init(
            dsn=settings.sentry_dsn,
            environment=settings.sentry_environment,
            release=f"hopline@{settings.sentry_release}",
            server_name=server_name(process, settings),
            traces_sampler=make_sampler(settings.traces_sample_rate, at_the_edge=at_the_edge),
            profile_session_sample_rate=settings.sentry_profiles_sample_rate,
            profile_lifecycle="trace",
            max_breadcrumbs=settings.sentry_max_breadcrumbs,
            attach_stacktrace=settings.sentry_attach_stacktrace,
            trace_propagation_targets=list(own_urls),
            include_local_variables=False,
            max_request_body_size="never",
            data_collection=_data_collection(user_info=settings.sentry_send_default_pii),
            before_send=_before_send,
            before_send_transaction=scrub_event,
            before_breadcrumb=scrub_breadcrumb,
            transport_queue_size=TRANSPORT_QUEUE,
            shutdown_timeout=FLUSH_TIMEOUT_S,
            stream_gen_ai_spans=False,
            auto_enabling_integrations=False,
            integrations=[
                StarletteIntegration(transaction_style="url"),
                FastApiIntegration(transaction_style="url"),
                HttpxIntegration(),
                SqlalchemyIntegration(),
            ],
        )
    logging.getLogger("sentry_sdk.errors").setLevel(logging.WARNING)  # or it makes a record of every step, unheard
    for logger in REPORTED_ELSEWHERE:
        ignore_logger(logger)


def server_name(process: str, settings: SentrySettings) -> str:
    return f"{settings.sentry_server_name}-{process}" if settings.sentry_server_name else process


async def stop_telemetry() -> None:
    """What is still in memory has been sent, or `FLUSH_TIMEOUT_S` have passed. uvicorn's SIGTERM skips `atexit`."""
    client = sentry_sdk.get_client()
    await asyncio.to_thread(client.close, timeout=FLUSH_TIMEOUT_S)


def _before_send(event: "Event", hint: "Hint") -> "Event":
    """The event without what could hold a person's text, under the id that `name_event` has promised for it."""
    _, error, _ = hint.get("exc_info") or (None, None, None)
    promised = getattr(error, "sentry_event_id", None)
    if promised is not None:
        event["event_id"] = promised
    return scrub_event(event, hint)


def _data_collection(*, user_info: bool) -> Any:
    """Every field is named: one that is left out would be switched on."""
    return {
        "user_info": user_info,
        "cookies": NOTHING,
        "http_headers": {"request": {"mode": "denylist"}},
        "http_bodies": [],
        "url_query_params": NOTHING,
        "graphql": {"document": False, "variables": False},
        "gen_ai": {"inputs": False, "outputs": False},
        "database_query_data": False,
        "queues": False,
        "stack_frame_variables": False,
        "frame_context_lines": 5,
    }
