"""The consumer's end of a queue, on a real Valkey."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from local.stack import Stack
from parts.recording_ingest import RecordingIngest
from parts.waiting import until
from wire.contracts import Readable
from wire.ids import new_id
from wire.queue import Queue, connect_arq, connect_blocking
from wire.queue_worker import MAX_TRIES, Job, QueueWorker, TryLater, repeat
from wire.redis_keys import queue_key, wake_key
from wire.telemetry.spans import background_transaction, current_trace_id

StartTelemetry = Callable[..., None]
Handle = Callable[["Greeting"], Awaitable[None]]


class Greeting(Readable):
    name: str


class Stranger(Readable):
    surname: str


@pytest.fixture
def queue_name() -> str:
    return f"queue-{new_id()}"


@asynccontextmanager
async def working(
    redis_url: str,
    queue: str,
    handle: Handle,
    *,
    max_jobs: int = 4,
    drain_timeout_s: float = 10,
    redis: ArqRedis | None = None,
) -> AsyncGenerator[QueueWorker]:
    """A worker takes the queue's jobs while the block runs, then drains."""
    own = redis or connect_arq(redis_url)
    blocking = connect_blocking(redis_url)
    worker = QueueWorker(queue, [Job("greet", Greeting, handle)], redis=own, blocking=blocking, max_jobs=max_jobs)
    running = asyncio.create_task(worker.run(drain_timeout_s=drain_timeout_s))
    try:
        yield worker
    finally:
        worker.stop()
        await running
        await blocking.aclose()
        await own.aclose()


class Guests:
    """Notes who was greeted; a greeting can be held up at the door."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.greeted: list[str] = []
        self.door = asyncio.Event()
        self.door.set()

    async def greet(self, greeting: Greeting) -> None:
        self.arrived.append(greeting.name)
        await self.door.wait()
        self.greeted.append(greeting.name)


async def is_empty(redis: ArqRedis, queue: str) -> bool:
    return await redis.zcard(queue_key(queue)) == 0


async def published_in_a_trace(redis: ArqRedis, queue: str, payload: Readable) -> str:
    with background_transaction("work"):
        trace_id = current_trace_id() or ""
        await Queue(redis, queue).publish("greet", payload)
    return trace_id


async def test_a_job_is_handled_once_and_gone(redis_url: str, redis: ArqRedis, queue_name: str) -> None:
    guests = Guests()

    async with working(redis_url, queue_name, guests.greet):
        await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"))
        await until(lambda: is_empty(redis, queue_name), "the job is done")

    assert guests.greeted == ["Ada"]


async def test_the_worker_takes_the_nudges_off_the_wake_list(redis_url: str, redis: ArqRedis, queue_name: str) -> None:
    guests = Guests()
    for name in ("Ada", "Ben", "Cy"):
        await Queue(redis, queue_name).publish("greet", Greeting(name=name))

    async with working(redis_url, queue_name, guests.greet):
        await until(lambda: len(guests.greeted) == 3, "all are greeted")

        async def no_nudges() -> bool:
            return await redis.execute_command("LLEN", wake_key(queue_name)) == 0

        await until(no_nudges, "the wake list is empty")

    assert sorted(guests.greeted) == ["Ada", "Ben", "Cy"]


async def test_no_more_jobs_run_at_once_than_there_are_places(redis_url: str, redis: ArqRedis, queue_name: str) -> None:
    guests = Guests()
    guests.door.clear()
    for name in ("Ada", "Ben", "Cy"):
        await Queue(redis, queue_name).publish("greet", Greeting(name=name))

    async with working(redis_url, queue_name, guests.greet, max_jobs=2):
        await until(lambda: len(guests.arrived) == 2, "two are at the door")
        assert len(guests.arrived) == 2
        guests.door.set()
        await until(lambda: len(guests.greeted) == 3, "the third is greeted too")


async def test_a_job_that_wants_to_be_tried_later_is_and_nothing_is_reported(
    redis_url: str, redis: ArqRedis, queue_name: str, telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("tracking-worker")
    tries: list[str] = []

    async def greet_at_the_third_time(greeting: Greeting) -> None:
        tries.append(greeting.name)
        if len(tries) < 3:
            raise TryLater(0.01)

    async with working(redis_url, queue_name, greet_at_the_third_time):
        trace_id = await published_in_a_trace(redis, queue_name, Greeting(name="Ada"))
        await until(lambda: is_empty(redis, queue_name), "the job is done")
        trace = await ingest.wait_for_trace(
            trace_id, lambda t: len(t.find("tracking-worker", "queue.process")) == 3, "three tries"
        )

    assert tries == ["Ada"] * 3
    retries = sorted(s.data["messaging.message.retry.count"] for s in trace.find("tracking-worker", "queue.process"))
    assert retries == [0, 1, 2]
    assert trace.errors == []


async def test_a_job_that_is_never_ready_is_given_up_and_nothing_is_reported(
    redis_url: str, redis: ArqRedis, queue_name: str, telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("tracking-worker")
    before = len(ingest.items_of("event"))
    tries: list[str] = []

    async def never_greet(greeting: Greeting) -> None:
        tries.append(greeting.name)
        raise TryLater(0.01)

    async with working(redis_url, queue_name, never_greet):
        trace_id = await published_in_a_trace(redis, queue_name, Greeting(name="Ada"))
        await until(lambda: is_empty(redis, queue_name), "the job is given up")
        await ingest.wait_for_trace(
            trace_id, lambda t: len(t.find("tracking-worker", "queue.process")) == MAX_TRIES, "every try"
        )

    assert tries == ["Ada"] * MAX_TRIES
    assert ingest.items_of("event")[before:] == []


async def test_a_job_that_fails_is_exactly_one_error_in_its_publishers_trace_and_not_tried_again(
    redis_url: str, redis: ArqRedis, queue_name: str, telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("tracking-worker")
    before = len(ingest.items_of("event"))
    tries: list[str] = []

    async def fail(greeting: Greeting) -> None:
        tries.append(greeting.name)
        raise LookupError(greeting.name)

    with capture_logs() as lines:
        async with working(redis_url, queue_name, fail):
            trace_id = await published_in_a_trace(redis, queue_name, Greeting(name="Ada"))
            await until(lambda: is_empty(redis, queue_name), "the job is over")
            trace = await ingest.wait_for_trace(
                trace_id, lambda t: t.errors and t.find("tracking-worker", "queue.process"), "the failed job"
            )

    (job,) = trace.find("tracking-worker", "queue.process")
    assert tries == ["Ada"]
    assert [(error.type, error.trace_id, error.span_id) for error in trace.errors] == [
        ("LookupError", trace_id, job.span_id)
    ]
    assert len(ingest.items_of("event")) == before + 1
    assert [(line["event"], line["log_level"], line["error"]) for line in lines if line.get("job") == "greet"] == [
        ("job failed", "error", "LookupError")
    ]


async def test_a_payload_that_cannot_be_read_is_one_error_and_the_next_job_runs(
    redis_url: str, redis: ArqRedis, queue_name: str, telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("tracking-worker")
    guests = Guests()

    async with working(redis_url, queue_name, guests.greet):
        trace_id = await published_in_a_trace(redis, queue_name, Stranger(surname="Lovelace"))
        await Queue(redis, queue_name).publish("greet", Greeting(name="Ben"))
        await until(lambda: is_empty(redis, queue_name), "both jobs are over")
        trace = await ingest.wait_for_trace(trace_id, lambda t: t.errors, "the error")

    assert guests.greeted == ["Ben"]
    assert [error.type for error in trace.errors] == ["ValidationError"]


async def test_an_envelope_that_cannot_be_read_is_one_error_and_the_next_job_runs(
    redis_url: str, redis: ArqRedis, queue_name: str, telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("tracking-worker")
    before = len(ingest.items_of("event"))
    guests = Guests()

    async with working(redis_url, queue_name, guests.greet):
        await redis.enqueue_job("greet", {"name": "Ada"}, _queue_name=queue_key(queue_name))
        await Queue(redis, queue_name).publish("greet", Greeting(name="Ben"))
        await until(lambda: is_empty(redis, queue_name), "both jobs are over")
        await until(lambda: ingest.items_of("event")[before:], "the error")

    assert guests.greeted == ["Ben"]
    assert [event["exception"]["values"][0]["type"] for event in ingest.items_of("event")[before:]] == [
        "ValidationError"
    ]


async def test_an_idle_worker_goes_on_after_redis_was_restarted(
    stack: Stack, redis_url: str, redis: ArqRedis, queue_name: str
) -> None:
    guests = Guests()

    with capture_logs() as lines:
        async with working(redis_url, queue_name, guests.greet):
            await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"))
            await until(lambda: guests.greeted == ["Ada"], "the first is greeted")
            await asyncio.to_thread(stack.stop, "valkey")
            await until(lambda: any(line["event"] == "redis is away, waiting" for line in lines), "it is missed")
            await asyncio.to_thread(stack.start, "valkey")
            await asyncio.to_thread(stack.wait_ready, "valkey")

            await Queue(redis, queue_name).publish("greet", Greeting(name="Ben"))
            await until(lambda: guests.greeted == ["Ada", "Ben"], "the second is greeted")

    outage = [line["event"] for line in lines if line["event"].startswith("redis is")]
    assert outage == ["redis is away, waiting", "redis is back"]


async def test_a_job_under_way_is_not_disturbed_by_an_outage_of_redis(
    stack: Stack, redis_url: str, redis: ArqRedis, queue_name: str
) -> None:
    guests = Guests()
    guests.door.clear()

    async with working(redis_url, queue_name, guests.greet):
        await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"))
        await until(lambda: guests.arrived == ["Ada"], "the guest is at the door")
        await asyncio.to_thread(stack.stop, "valkey")
        guests.door.set()
        await until(lambda: guests.greeted == ["Ada"], "the guest is greeted")
        await asyncio.to_thread(stack.start, "valkey")
        await asyncio.to_thread(stack.wait_ready, "valkey")


async def test_a_redis_that_fails_in_the_middle_of_taking_a_job_costs_no_place(
    redis_url: str, redis: ArqRedis, queue_name: str
) -> None:
    class FailingRedis(ArqRedis):
        """Breaks off as often as told, between asking for a job and getting it."""

        failures = 2

        def pipeline(self, *args: Any, **kwargs: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise RedisConnectionError("the connection broke")
            return super().pipeline(*args, **kwargs)

    failing = FailingRedis.from_url(redis_url)
    failing.job_serializer, failing.job_deserializer = redis.job_serializer, redis.job_deserializer
    guests = Guests()
    await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"))

    async with working(redis_url, queue_name, guests.greet, max_jobs=1, redis=failing):
        await until(lambda: guests.greeted == ["Ada"], "the only place is free again")


async def test_a_worker_that_stops_finishes_what_is_under_way_and_takes_nothing_new(
    redis_url: str, redis: ArqRedis, queue_name: str
) -> None:
    guests = Guests()
    guests.door.clear()

    async with working(redis_url, queue_name, guests.greet) as worker:
        await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"))
        await until(lambda: guests.arrived == ["Ada"], "the guest is at the door")
        worker.stop()
        await Queue(redis, queue_name).publish("greet", Greeting(name="Ben"))
        guests.door.set()

    assert guests.arrived == guests.greeted == ["Ada"]
    assert not await is_empty(redis, queue_name)


async def test_a_job_that_outlasts_the_drain_is_handed_over_to_another_worker(
    redis_url: str, redis: ArqRedis, queue_name: str
) -> None:
    leaving, staying = Guests(), Guests()
    leaving.door.clear()

    async with working(redis_url, queue_name, leaving.greet, drain_timeout_s=0.05):
        await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"))
        await until(lambda: leaving.arrived == ["Ada"], "the guest is at the door")

    async with working(redis_url, queue_name, staying.greet):
        await until(lambda: staying.greeted == ["Ada"], "the other worker greets")
    assert leaving.greeted == []


async def test_periodic_work_goes_on_after_an_error_which_is_reported_once(
    telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("chat-worker")
    before = len(ingest.items_of("event"))
    turns: list[int] = []

    async def sweep() -> None:
        turns.append(len(turns))
        if len(turns) <= 3:
            raise LookupError("nothing there")

    with capture_logs() as lines:
        sweeping = asyncio.create_task(repeat("sweep", 0.001, sweep))
        await until(lambda: len(turns) >= 5, "it goes on")
        sweeping.cancel()
        await until(lambda: ingest.items_of("event")[before:], "the error is reported")

    assert [line["event"] for line in lines] == ["periodic work failed"] * 3
    assert len(ingest.items_of("event")) == before + 1


async def test_periodic_work_without_redis_is_no_error(telemetry: StartTelemetry, ingest: RecordingIngest) -> None:
    telemetry("chat-worker")
    before = len(ingest.items_of("event"))
    turns: list[int] = []

    async def sweep() -> None:
        turns.append(len(turns))
        raise RedisConnectionError("away")

    sweeping = asyncio.create_task(repeat("sweep", 0.001, sweep))
    await until(lambda: len(turns) >= 3, "it goes on")
    sweeping.cancel()

    assert len(ingest.items_of("event")) == before
