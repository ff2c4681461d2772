"""The producer's end of a queue, on a real Valkey."""

import time
from collections.abc import Callable

import orjson
import pytest
import sentry_sdk
from arq.connections import ArqRedis
from arq.constants import job_key_prefix

from local.ports import free_port
from parts.recording_ingest import RecordingIngest
from wire.contracts import Readable
from wire.contracts.jobs import Envelope
from wire.ids import new_id
from wire.queue import Queue, QueueUnavailable, connect_arq
from wire.redis_keys import WAKE_TTL_S, queue_key, wake_key
from wire.telemetry.spans import background_transaction, current_trace_id

StartTelemetry = Callable[..., None]


class Greeting(Readable):
    name: str


@pytest.fixture
def queue_name() -> str:
    return f"queue-{new_id()}"


async def envelopes(redis: ArqRedis, queue: str) -> list[Envelope]:
    jobs: list[bytes] = await redis.zrange(queue_key(queue), 0, -1)
    found: list[Envelope] = []
    for job_id in jobs:
        stored = await redis.get(job_key_prefix + job_id.decode())
        assert stored is not None
        (message,) = orjson.loads(stored)["a"]
        found.append(Envelope.model_validate(message))
    return found


async def test_a_job_is_json_and_carries_its_payload_its_time_and_its_trace(
    redis: ArqRedis, queue_name: str, telemetry: StartTelemetry
) -> None:
    telemetry("chat")
    before = time.time()

    with background_transaction("work"):
        trace_id = current_trace_id() or ""
        await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"))

    (envelope,) = await envelopes(redis, queue_name)
    assert envelope.payload == {"name": "Ada"}
    assert before <= envelope.enqueued_at <= time.time()
    assert envelope.trace["sentry-trace"].startswith(trace_id)
    assert f"sentry-trace_id={trace_id}" in envelope.trace["baggage"]


async def test_a_publish_nudges_the_wake_list_which_ends_by_itself(redis: ArqRedis, queue_name: str) -> None:
    await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"))
    await Queue(redis, queue_name).publish("greet", Greeting(name="Ben"))

    assert await redis.execute_command("LLEN", wake_key(queue_name)) == 2
    assert 0 < await redis.ttl(wake_key(queue_name)) <= WAKE_TTL_S


async def test_a_job_that_is_sent_again_goes_on_in_its_first_trace(
    redis: ArqRedis, queue_name: str, telemetry: StartTelemetry, ingest: RecordingIngest
) -> None:
    telemetry("chat-worker")
    trace_id, span_id = "e" * 32, "f" * 16
    headers = {"sentry-trace": f"{trace_id}-{span_id}-1"}

    await Queue(redis, queue_name).publish("greet", Greeting(name="Ada"), headers=headers)
    sentry_sdk.get_client().flush(timeout=5)

    (envelope,) = await envelopes(redis, queue_name)
    trace = ingest.trace(trace_id)
    (publish,) = trace.find("chat-worker", "queue.publish", queue_name)
    assert envelope.trace["sentry-trace"] == f"{trace_id}-{publish.span_id}-1"
    assert [(span.name, span.parent_id) for span in trace.ancestors_of(publish)] == [("republish greet", span_id)]


async def test_a_publish_without_redis_says_so(queue_name: str) -> None:
    nowhere = connect_arq(f"redis://127.0.0.1:{free_port()}/0")

    with pytest.raises(QueueUnavailable):
        await Queue(nowhere, queue_name).publish("greet", Greeting(name="Ada"))

    await nowhere.aclose()
