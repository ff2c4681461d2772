"""`/sentry-test` takes the way of every bug, and is not there unless it is enabled."""

from collections.abc import Callable

import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI

from parts.recording_ingest import RecordingIngest
from wire.deliberate_error import deliberate_error_routes
from wire.health import Health
from wire.problems import install_problem_handlers
from wire.process_settings import SentrySettings
from wire.telemetry.spans import report_error
from wire.worker_app import worker_app

StartTelemetry = Callable[..., None]
TRACE = "5" * 32
ENABLED = SentrySettings(sentry_test_enabled=True)


def service_app(health: Health, settings: SentrySettings) -> FastAPI:
    """As the services that are no workers build theirs."""
    app = FastAPI()
    install_problem_handlers(app)
    app.router.routes.extend([*health.routes(), *deliberate_error_routes(health.name, settings)])
    return app


async def ask(app: httpx.ASGITransport, path: str = "/sentry-test") -> httpx.Response:
    async with httpx.AsyncClient(transport=app, base_url="http://test") as http:
        response = await http.get(path, headers={"sentry-trace": f"{TRACE}-{'6' * 16}-1"})
    sentry_sdk.get_client().flush(timeout=5)
    return response


BUILDERS = pytest.mark.parametrize("build", [service_app, worker_app])
Build = Callable[[Health, SentrySettings], FastAPI]


@BUILDERS
async def test_it_is_one_event_under_the_id_that_the_answer_names(
    telemetry: StartTelemetry, ingest: RecordingIngest, build: Build
) -> None:
    telemetry("tracking-worker", sentry_environment="test", sentry_release="1.2.3")
    before = len(ingest.items_of("event"))

    app = build(Health("tracking-worker"), ENABLED)
    response = await ask(httpx.ASGITransport(app, raise_app_exceptions=False))

    [event] = ingest.items_of("event")[before:]
    told = response.json()
    assert (response.status_code, told["code"]) == (500, "internal_error")
    assert (told["event_id"], told["trace_id"]) == (event["event_id"], TRACE)
    assert event["contexts"]["trace"]["trace_id"] == TRACE
    assert {name: event[name] for name in ("server_name", "environment", "release", "transaction")} == {
        "server_name": "tracking-worker",
        "environment": "test",
        "release": "hopline@1.2.3",
        "transaction": "/sentry-test",
    }
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"], error["mechanism"]["handled"]) == (
        "DeliberateError",
        "raised on purpose by GET /sentry-test on tracking-worker",
        False,
    )


@BUILDERS
async def test_it_is_not_there_unless_it_is_enabled(build: Build) -> None:
    app = httpx.ASGITransport(build(Health("chat"), SentrySettings()))

    answers = [await ask(app), await ask(app, "/nothing-here")]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 2


async def test_without_a_dsn_no_event_is_promised(telemetry: StartTelemetry) -> None:
    telemetry("chat", sentry_dsn=None)

    response = await ask(httpx.ASGITransport(service_app(Health("chat"), ENABLED), raise_app_exceptions=False))

    assert response.status_code == 500
    assert "event_id" not in response.json()


async def test_an_error_that_was_reported_before_it_escaped_is_named_by_the_event_it_has(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("chat")
    before = len(ingest.items_of("event"))
    app = FastAPI()
    install_problem_handlers(app)

    @app.get("/reports")
    async def report_and_raise() -> None:
        error = RuntimeError()
        report_error(error)
        raise error

    response = await ask(httpx.ASGITransport(app, raise_app_exceptions=False), "/reports")

    [event] = ingest.items_of("event")[before:]
    assert response.json()["event_id"] == event["event_id"]
