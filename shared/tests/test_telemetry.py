"""What reaches Sentry, from which process, in which trace, and what never does.

A real SDK sends to an ingest that records.
"""

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI
from sqlalchemy import text

from local.stack import Stack
from parts.recording_ingest import RecordingIngest
from wire.database import Database, DatabaseUnavailable
from wire.log import configure_logging, get_logger
from wire.problems import install_problem_handlers
from wire.telemetry.setup import stop_telemetry
from wire.telemetry.spans import (
    background_transaction,
    current_trace_id,
    queue_process,
    queue_publish,
    report_error,
    set_measurements,
    set_person,
    span,
    tag,
    trace_headers,
)

StartTelemetry = Callable[..., None]
TRACE = "0123456789abcdef0123456789abcdef"
SECRET = "the-planted-secret"


def flush() -> None:
    sentry_sdk.get_client().flush(timeout=5)


def transactions(ingest: RecordingIngest, trace_id: str) -> list[dict[str, Any]]:
    return [t for t in ingest.items_of("transaction") if t["contexts"]["trace"]["trace_id"] == trace_id]


def errors(ingest: RecordingIngest, trace_id: str) -> list[dict[str, Any]]:
    return [e for e in ingest.items_of("event") if e["contexts"]["trace"]["trace_id"] == trace_id]


def leaky_app() -> FastAPI:
    app = FastAPI()
    install_problem_handlers(app)

    @app.post("/turns/{turn}")
    async def leak(turn: str, body: dict[str, str]) -> None:
        prompt = body["text"]  # a frame local
        logging.getLogger("somebody").warning("a breadcrumb")
        raise RuntimeError(prompt) from ValueError(prompt)

    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test")


@pytest.mark.parametrize(("prefix", "name"), [(None, "gateway"), ("eu1", "eu1-gateway")])
def test_each_process_sends_under_its_own_name(
    telemetry: StartTelemetry, ingest: RecordingIngest, prefix: str | None, name: str
) -> None:
    telemetry("gateway", sentry_server_name=prefix, sentry_environment="test", sentry_release="1.2.3")

    with background_transaction("work"):
        trace_id = current_trace_id() or ""
    flush()

    (transaction,) = transactions(ingest, trace_id)
    assert (transaction["server_name"], transaction["environment"], transaction["release"]) == (
        name,
        "test",
        "hopline@1.2.3",
    )


def test_without_a_dsn_there_are_traces_and_nothing_is_sent(telemetry: StartTelemetry, ingest: RecordingIngest) -> None:
    telemetry(sentry_dsn=None)
    before = len(ingest.items)

    with background_transaction("work"):
        trace_id = current_trace_id()
        headers = trace_headers()
    flush()

    assert trace_id is not None
    assert headers["sentry-trace"].startswith(trace_id)
    assert len(ingest.items) == before


async def test_what_a_person_wrote_never_leaves_the_process(telemetry: StartTelemetry, ingest: RecordingIngest) -> None:
    telemetry("chat", sentry_send_default_pii=True)
    before = len(ingest.items_of("event"))

    async with client_of(leaky_app()) as http:
        response = await http.post(
            f"/turns/7?text={SECRET}",
            json={"text": SECRET},
            headers={
                "Authorization": f"Bearer {SECRET}",
                "X-Api-Key": SECRET,
                "Cookie": f"session={SECRET}",
                "Referer": f"http://page/?{SECRET}",
            },
        )
    await stop_telemetry()

    events = ingest.items_of("event")[before:]
    assert response.status_code == 500
    assert [event["exception"]["values"][-1]["type"] for event in events] == ["RuntimeError"]
    assert SECRET.encode() not in ingest.everything()


async def test_a_bug_in_a_route_is_one_error_in_the_requests_trace_named_by_its_template(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("chat")

    async with client_of(leaky_app()) as http:
        response = await http.post("/turns/7", json={"text": "x"}, headers={"sentry-trace": f"{TRACE}-{'1' * 16}-1"})
    flush()

    assert response.json()["trace_id"] == TRACE
    (transaction,) = transactions(ingest, TRACE)
    (error,) = errors(ingest, TRACE)
    assert transaction["transaction"] == error["transaction"] == "/turns/{turn}"
    assert transaction["contexts"]["trace"]["parent_span_id"] == "1" * 16


async def test_a_statements_parameters_never_leave_the_process(
    telemetry: StartTelemetry, ingest: RecordingIngest, stack: Stack
) -> None:
    telemetry("chat")
    database = Database(stack.database_url("chat"), application_name="tests")
    statements = [
        ("SELECT CAST(:value AS int)", {"value": SECRET}),  # refused by the driver, which quotes the value
        ("SELECT CAST(CAST(:value AS text) AS int)", {"value": SECRET}),  # refused by the server, which quotes it too
        ("SELECT :value FROM nowhere", {"value": SECRET}),
    ]

    for statement, parameters in statements:
        with background_transaction("a statement"):
            try:
                async with database.transaction() as connection:
                    await connection.execute(text(statement), parameters)
            except Exception as error:
                report_error(error)
    await database.close()
    flush()

    assert SECRET.encode() not in ingest.everything()


async def test_trace_headers_go_to_our_own_processes_only(telemetry: StartTelemetry) -> None:
    telemetry("chat", own_urls=("http://tracking:8002",))
    carried: dict[str, bool] = {}

    def note(request: httpx.Request) -> httpx.Response:
        carried[request.url.host] = "sentry-trace" in request.headers or "baggage" in request.headers
        return httpx.Response(200)

    async with httpx.AsyncClient(transport=httpx.MockTransport(note)) as http:
        with background_transaction("work"):
            await http.get("http://tracking:8002/usage")
            await http.get("https://api.provider.example/v1/models")

    assert carried == {"tracking": True, "api.provider.example": False}


async def test_the_query_of_an_outgoing_request_is_not_in_its_span(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("gateway")

    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as http:
        with background_transaction("work"):
            trace_id = current_trace_id() or ""
            await http.get(f"http://tracking:8002/usage?q={SECRET}#{SECRET}")
    flush()

    assert [s.name for s in ingest.trace(trace_id).find("gateway", "http.client")] == ["GET http://tracking:8002/usage"]
    assert SECRET.encode() not in ingest.everything()


def test_a_queue_carries_the_trace_from_publisher_to_consumer(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("chat")

    with background_transaction("work"):
        trace_id = current_trace_id() or ""
        with queue_publish("tracking", "job-1", 42) as headers:
            pass
    with queue_process(
        "tracking", "record_usage", headers=headers, message_id="job-1", retries=1, enqueued_at=0.0, body_size=42
    ):
        pass
    flush()

    trace = ingest.trace(trace_id)
    (publish,), (process,) = trace.find("chat", "queue.publish"), trace.find("chat", "queue.process")
    assert trace.parent_of(process) == publish
    about = {
        "messaging.system": "redis",
        "messaging.destination.name": "tracking",
        "messaging.message.id": "job-1",
        "messaging.message.body.size": 42,
    }
    assert about.items() <= publish.data.items()
    assert (about | {"messaging.message.retry.count": 1}).items() <= process.data.items()
    assert process.data["messaging.message.receive.latency"] > 0


def test_a_trace_that_was_not_kept_at_its_start_is_not_kept_later(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("tracking-worker")
    headers = {"sentry-trace": f"{'a' * 32}-{'b' * 16}-0"}

    with (
        queue_process(
            "tracking", "record_usage", headers=headers, message_id="job-1", retries=0, enqueued_at=0.0, body_size=1
        ),
        queue_publish("next", "job-2", 1) as onward,
    ):
        pass
    flush()

    assert onward["sentry-trace"].startswith("a" * 32)
    assert onward["sentry-trace"].endswith("-0")
    assert transactions(ingest, "a" * 32) == []


def test_an_error_in_a_job_is_captured_once_however_far_it_rises(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("chat-worker")
    headers = {"sentry-trace": f"{'c' * 32}-{'d' * 16}-1"}

    def fail() -> None:
        with queue_process("chat", "reply", headers=headers, message_id="1", retries=0, enqueued_at=0.0, body_size=1):
            set_person("ada")
            tag(turn_id="turn-1", left_out=None)
            error = RuntimeError("the provider is gone")
            report_error(error, provider="scripted")
            raise error

    with pytest.raises(RuntimeError, match="the provider is gone"):
        fail()
    flush()

    (event,) = errors(ingest, "c" * 32)
    assert event["exception"]["values"][0]["type"] == "RuntimeError"
    assert event["user"] == {"id": "ada"}
    assert event["tags"] == {"provider": "scripted", "turn_id": "turn-1"}


def test_the_words_of_our_own_errors_are_kept_and_those_of_others_are_not(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("chat")

    with background_transaction("work"):
        trace_id = current_trace_id() or ""
        report_error(DatabaseUnavailable("the database can't be reached"))
        report_error(LookupError(SECRET))
    flush()

    said = [event["exception"]["values"][-1] for event in errors(ingest, trace_id)]
    assert [(error["type"], error["value"]) for error in said] == [
        ("DatabaseUnavailable", "the database can't be reached"),
        ("LookupError", ""),
    ]
    assert SECRET.encode() not in ingest.everything()


def test_people_and_tags_of_one_job_are_not_seen_in_the_next(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("chat-worker")

    with background_transaction("first"):
        set_person("ada")
        tag(turn_id="turn-1")
    with background_transaction("second"):
        trace_id = current_trace_id() or ""
    flush()

    (transaction,) = transactions(ingest, trace_id)
    assert "user" not in transaction
    assert "turn_id" not in transaction.get("tags", {})


def test_spans_and_measurements_carry_what_is_known(telemetry: StartTelemetry, ingest: RecordingIngest) -> None:
    telemetry("chat-worker")

    with background_transaction("work"):
        trace_id = current_trace_id() or ""
        with span("function", "save_conversation", attempt=2, left_out=None):
            pass
        set_measurements(total_tokens=(212.0, "none"))
    flush()

    (work,) = ingest.trace(trace_id).find("chat-worker", "task")
    (save,) = ingest.trace(trace_id).find("chat-worker", "function")
    assert work.data["total_tokens"] == 212.0
    assert save.data["attempt"] == 2
    assert "left_out" not in save.data


def test_an_error_in_the_log_is_an_event_named_for_its_phrase(
    telemetry: StartTelemetry, ingest: RecordingIngest, restored_logging: None
) -> None:
    telemetry("gateway")
    configure_logging("gateway", style="json", level="info")

    with background_transaction("work"):
        trace_id = current_trace_id() or ""
        get_logger("gateway.test").info("first this", step=1)
        get_logger("gateway.test").error("answer not understood", service="chat", status=418)
    flush()

    (event,) = errors(ingest, trace_id)
    assert event["logentry"] == {"message": "answer not understood"}
    assert event["extra"] == {"service": "chat", "status": 418}
    assert [(crumb["message"], crumb["data"]) for crumb in event["breadcrumbs"]["values"]] == [
        ("first this", {"step": 1})
    ]
