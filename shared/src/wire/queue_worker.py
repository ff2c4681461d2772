"""The consumer's end of a queue: arq's worker with a wake list, the publisher's trace, and a calm view of outages.

What arq does not promise and this does not either: that a job runs once, or at all. See `wire.queue`.

| event | what happens |
|---|---|
| a job is enqueued | `BLPOP` on the wake list returns, and the job starts within milliseconds |
| Redis is away | the worker waits and goes on when it is back; jobs under way are not disturbed |
| SIGTERM | no more jobs are taken; those under way have `drain_timeout_s`, then they are cancelled and hand over |
| a job raises `TryLater` | it is enqueued again after the delay, up to `MAX_TRIES` times; nothing is reported |
| a job raises anything else | one error event in the job's own trace; it is not tried again |
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from arq.connections import ArqRedis
from arq.worker import Function, Retry, Worker, func
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wire.contracts import Readable
from wire.contracts.jobs import Envelope
from wire.database import DatabaseUnavailable
from wire.log import get_logger
from wire.redis_keys import queue_key, wake_key
from wire.telemetry.spans import queue_process, report_error

JOB_TIMEOUT_S = 3600
POLL_S = 0.5
RETRY_REDIS_S = 0.5
MAX_TRIES = 5

log = get_logger(__name__)

PayloadT = TypeVar("PayloadT", bound=Readable)


class TryLater(Exception):
    """The job can't be done now and could be soon, `delay_s` from now."""

    already_reported = True

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"try again in {delay_s:g} s")
        self.delay_s = delay_s


@dataclass(frozen=True, slots=True)
class Job(Generic[PayloadT]):
    """A job by name: what its payload is and what handles it."""

    name: str
    payload: type[PayloadT]
    handle: Callable[[PayloadT], Awaitable[None]]


class QueueWorker:
    """Runs the jobs of one queue in this process until it is told to stop."""

    def __init__(
        self, queue: str, jobs: Sequence[Job[Any]], *, redis: ArqRedis, blocking: Redis, max_jobs: int
    ) -> None:
        self._queue = queue
        self._blocking = blocking
        self._max_jobs = max_jobs
        self._stopping = asyncio.Event()
        self._worker = Worker(
            functions=[_arq_function(queue, job) for job in jobs],
            queue_name=queue_key(queue),
            redis_pool=redis,
            handle_signals=False,
            max_jobs=max_jobs,
            job_timeout=JOB_TIMEOUT_S,
            keep_result=0,
            max_tries=MAX_TRIES,
            job_serializer=_dumps,
            job_deserializer=orjson.loads,
            log_results=False,
        )

    def stop(self) -> None:
        """No more jobs are taken; `run` returns when those under way have ended or handed over."""
        self._stopping.set()

    async def run(self, *, drain_timeout_s: float) -> None:
        try:
            await self._take_jobs()
        finally:
            await self._drain(drain_timeout_s)

    async def _take_jobs(self) -> None:
        """Looks for the end between two steps only: a step that is cut could leave a job locked that nobody runs."""
        is_away = False
        while not self._stopping.is_set():
            try:
                await self._worker._poll_iteration()  # pyright: ignore[reportPrivateUsage]  arq has no public step
                if is_away:
                    log.info("redis is back", queue=self._queue)
                is_away = False
                await self._wait_for_work()
            except (RedisError, OSError) as error:
                if not is_away:
                    log.warning("redis is away, waiting", queue=self._queue, error=type(error).__name__)
                is_away = True
                await asyncio.sleep(RETRY_REDIS_S)
                self._free_lost_places()

    def _free_lost_places(self) -> None:
        """arq counts a place as taken before it asks Redis for the job, and keeps it when Redis fails then."""
        running = sum(not task.done() for task in self._worker.tasks.values())
        for _ in range(self._worker.job_counter - running):
            self._worker._release_sem_dec_counter_on_complete()  # pyright: ignore[reportPrivateUsage]

    async def _wait_for_work(self) -> None:
        """Until somebody wakes the queue, a place is free again, or `POLL_S` have passed."""
        running = list(self._worker.tasks.values())
        if len(running) >= self._max_jobs:
            await asyncio.wait(running, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
            return
        await self._blocking.execute_command("BLPOP", wake_key(self._queue), POLL_S)

    async def _drain(self, timeout_s: float) -> None:
        running = list(self._worker.tasks.values())
        if not running:
            return
        _, pending = await asyncio.wait(running, timeout=timeout_s)
        for task in pending:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def stop_on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


async def repeat(name: str, interval_s: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Does `work` every `interval_s` until cancelled. An error is reported once and the next turn tries again.

    Redis or the database being away is a warning: it is no error of this work's, and `/readyz` tells of it.
    """
    failing = False
    while True:
        try:
            await work()
            failing = False
        except Exception as error:  # the end of a unit of work: a sweep must outlive whatever it met
            log.warning("periodic work failed", work=name, error=type(error).__name__)
            if not failing and not isinstance(error, RedisError | OSError | DatabaseUnavailable):
                report_error(error, work=name)
            failing = True
        await asyncio.sleep(interval_s)


def _dumps(value: Any) -> bytes:
    """arq writes down how a job failed, even where no result is kept: the error is no JSON by itself."""
    return orjson.dumps(value, default=repr)


def _arq_function(queue: str, job: Job[Any]) -> Function:
    async def run(ctx: dict[str, Any], message: dict[str, Any]) -> None:
        try:
            envelope = Envelope.model_validate(message)
        except ValidationError as error:
            log.error("job is unreadable", job=job.name, job_id=ctx["job_id"])
            return report_error(error, job=job.name)
        tries: int = ctx["job_try"]
        try:
            with queue_process(
                queue,
                job.name,
                headers=envelope.trace,
                message_id=ctx["job_id"],
                retries=tries - 1,
                enqueued_at=envelope.enqueued_at,
                body_size=len(orjson.dumps(envelope.payload)),
            ):
                await _handle(job, envelope, job_id=ctx["job_id"], tries=tries)
        except TryLater as later:
            raise Retry(defer=later.delay_s) from later

    return func(run, name=job.name, max_tries=MAX_TRIES)


async def _handle(job: Job[Any], envelope: Envelope, *, job_id: str, tries: int) -> None:
    """One line in the log for the job, whatever its end, with its trace."""
    line = log.bind(job=job.name, job_id=job_id, tries=tries)
    try:
        await job.handle(job.payload.model_validate(envelope.payload))
    except TryLater as later:
        line.warning("job is tried again later", delay_s=later.delay_s)
        raise
    except Exception as error:  # the end of a unit of work: it is noted here and reported by `queue_process`
        line.error("job failed", error=type(error).__name__)
        raise
    line.info("job done")
