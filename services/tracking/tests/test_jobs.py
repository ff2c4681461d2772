"""Events come off the queue into the ledger, each in the trace of whoever published it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sentry_sdk
from sqlalchemy import select
from starlette.routing import Route, Router

from local.stack import Stack
from parts.background_server import BackgroundServer
from parts.recording_ingest import PROJECT, RecordingIngest
from parts.waiting import until
from tracking.jobs import ledger_jobs
from tracking.tables import model_switches, usage_calls
from wire.contracts import Readable
from wire.contracts.jobs import (
    COMPLETE_MODEL_SWITCH,
    RECORD_USAGE,
    TRACK_MODEL_SWITCH,
    SwitchCompleted,
    SwitchStarted,
    UsageEvent,
)
from wire.database import Database
from wire.ids import new_id
from wire.process_settings import SentrySettings
from wire.queue import Queue, connect_arq, connect_blocking
from wire.queue_worker import QueueWorker
from wire.redis_keys import TRACKING_QUEUE
from wire.telemetry.setup import start_telemetry
from wire.telemetry.spans import background_transaction, current_trace_id

Halves = Callable[[], tuple[SwitchStarted, SwitchCompleted]]


class UntracedIngest(RecordingIngest):
    """For a process that sends to itself: a traced ingest would send a transaction for each that it takes, for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._server = BackgroundServer(Router([Route(f"/api/{PROJECT}/envelope/", self._take, methods=["POST"])]))


@pytest.fixture(scope="module")
def ingest() -> Any:
    with UntracedIngest() as ingest:
        start_telemetry("tracking-worker", SentrySettings(sentry_dsn=ingest.dsn, sentry_traces_sample_rate=1.0))
        yield ingest
        sentry_sdk.get_client().close()


@pytest.fixture(scope="module")
async def queue(stack: Stack, ingest: RecordingIngest, database: Database) -> AsyncIterator[Queue]:
    """Tracking's queue, with a worker that takes its jobs."""
    redis, blocking = connect_arq(stack.url("valkey")), connect_blocking(stack.url("valkey"))
    worker = QueueWorker(TRACKING_QUEUE, ledger_jobs(database), redis=redis, blocking=blocking, max_jobs=4)
    working = asyncio.create_task(worker.run(drain_timeout_s=5))
    yield Queue(redis, TRACKING_QUEUE)
    worker.stop()
    await working
    await blocking.aclose()
    await redis.aclose()


async def publish(queue: Queue, *jobs: tuple[str, Readable]) -> str:
    """The jobs are enqueued in one new trace; its id."""
    with background_transaction("an answer ends"):
        trace_id = current_trace_id()
        for name, payload in jobs:
            await queue.publish(name, payload)
    assert trace_id is not None
    return trace_id


async def wait_for_call(database: Database, event_id: str) -> Any:
    async def found() -> Any:
        async with database.transaction() as connection:
            return (
                await connection.execute(select(usage_calls).where(usage_calls.c.event_id == event_id))
            ).one_or_none()

    return await until(found, "the call is in the ledger")


async def test_a_published_call_is_recorded_in_the_trace_of_its_publisher(
    queue: Queue, database: Database, ingest: RecordingIngest, call: Any
) -> None:
    event: UsageEvent = call()

    trace_id = await publish(queue, (RECORD_USAGE, event))

    await wait_for_call(database, event.event_id)
    trace = await ingest.wait_for_trace(
        trace_id, lambda t: t.find("tracking-worker", "queue.process") and t.find("tracking-worker", "task"), "the job"
    )
    insert = next(s for s in trace.find("tracking-worker", "db") if "INSERT INTO usage_calls" in s.name)
    assert [(span.op, span.name) for span in trace.ancestors_of(insert)] == [
        ("function", "record_usage"),
        ("queue.process", "record_usage"),
        ("queue.publish", "tracking"),
        ("task", "an answer ends"),
    ]
    assert trace.errors == []


async def test_a_switch_goes_through_both_its_halves(queue: Queue, database: Database, switch: Halves) -> None:
    start, end = switch()

    await publish(queue, (COMPLETE_MODEL_SWITCH, end), (TRACK_MODEL_SWITCH, start))

    async def whole() -> Any:
        async with database.transaction() as connection:
            query = select(model_switches.c.state, model_switches.c.metadata).where(
                model_switches.c.tracking_id == start.tracking_id,
                model_switches.c.start_received_at.is_not(None),
                model_switches.c.end_received_at.is_not(None),
            )
            return (await connection.execute(query)).one_or_none()

    assert tuple(await until(whole, "both halves are there")) == ("completed", {"asked_by": "picker"})


async def test_a_field_of_a_later_release_is_ignored(queue: Queue, database: Database, call: Any) -> None:
    class LaterEvent(UsageEvent):
        mood: str

    event = LaterEvent(**call().model_dump(), mood="good")

    await publish(queue, (RECORD_USAGE, event))

    await wait_for_call(database, event.event_id)


async def test_a_payload_that_cannot_be_read_is_one_error_in_its_trace_and_never_tried_again(
    queue: Queue, database: Database, ingest: RecordingIngest, call: Any
) -> None:
    class Other(Readable):
        something: str

    after: UsageEvent = call()

    trace_id = await publish(queue, (RECORD_USAGE, Other(something="else")), (RECORD_USAGE, after))

    await wait_for_call(database, after.event_id)
    trace = await ingest.wait_for_trace(
        trace_id, lambda t: t.errors and len(t.find("tracking-worker", "queue.process")) == 2, "the failed job"
    )
    assert [(error.type, error.process) for error in trace.errors] == [("ValidationError", "tracking-worker")]


async def test_a_switch_id_used_for_another_switch_is_one_error(
    queue: Queue, ingest: RecordingIngest, switch: Halves
) -> None:
    start, _ = switch()

    trace_id = await publish(
        queue, (TRACK_MODEL_SWITCH, start), (TRACK_MODEL_SWITCH, start.model_copy(update={"owner_id": new_id()}))
    )

    trace = await ingest.wait_for_trace(
        trace_id, lambda t: t.errors and len(t.find("tracking-worker", "queue.process")) == 2, "both jobs"
    )
    assert [error.type for error in trace.errors] == ["SwitchConflict"]


async def test_a_job_waits_for_a_database_that_is_away_and_reports_nothing(
    queue: Queue, database: Database, ingest: RecordingIngest, stack: Stack, call: Any
) -> None:
    event: UsageEvent = call()
    await asyncio.to_thread(stack.stop, "postgres")
    try:
        trace_id = await publish(queue, (RECORD_USAGE, event))
        await ingest.wait_for_trace(trace_id, lambda t: t.find("tracking-worker", "queue.process"), "a first try")
    finally:
        await asyncio.to_thread(stack.start, "postgres")
        await asyncio.to_thread(stack.wait_ready, "postgres")

    await wait_for_call(database, event.event_id)

    trace = await ingest.wait_for_trace(
        trace_id,
        lambda t: any("INSERT INTO usage_calls" in span.name for span in t.find("tracking-worker", "db")),
        "the try that succeeded",
    )
    assert trace.errors == []
