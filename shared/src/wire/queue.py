"""The producer's end of a queue: a job is enqueued with its trace and a worker is woken.

Delivery is at least once and may fail altogether (Redis is no truth): whoever enqueues keeps what the job is about in
PostgreSQL, and a sweep enqueues it again. So jobs are idempotent and carry ids rather than content.
"""

import time
from typing import Any, TypeVar

import orjson
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from wire.contracts import Readable
from wire.contracts.jobs import Envelope
from wire.ids import new_id
from wire.redis_keys import WAKE_TTL_S, queue_key, wake_key
from wire.telemetry.spans import TraceHeaders, background_transaction, queue_publish

REDIS_TIMEOUT_S = 2.0

ClientT = TypeVar("ClientT", bound=Redis)


class QueueUnavailable(Exception):
    """Redis can't be reached or refuses; the job is not enqueued, a sweep will try again."""


def connect(url: str, *, max_connections: int = 64) -> Redis:
    """A client that fails fast: nobody waits longer than `REDIS_TIMEOUT_S` for a Redis that is away."""
    return _owning_its_pool(Redis(connection_pool=_pool(url, max_connections=max_connections)))


def connect_arq(url: str) -> ArqRedis:
    return _owning_its_pool(
        ArqRedis(
            pool_or_conn=_pool(url, max_connections=64),
            job_serializer=orjson.dumps,
            job_deserializer=orjson.loads,
        )
    )


def connect_blocking(url: str) -> Redis:
    """A client for reads that wait on the server: its reads have no deadline of their own."""
    pool = ConnectionPool.from_url(
        url, max_connections=8, socket_connect_timeout=REDIS_TIMEOUT_S, socket_keepalive=True
    )
    return _owning_its_pool(Redis(connection_pool=pool))


class Queue:
    """Enqueues jobs for one service."""

    def __init__(self, redis: ArqRedis, name: str) -> None:
        self._redis = redis
        self._name = name

    async def publish(self, job: str, payload: Readable, *, headers: TraceHeaders | None = None) -> None:
        """The job is enqueued inside a `queue.publish` span and one worker is woken.

        `headers` continue a trace of before, for a job that a sweep sends again.

        Raises:
            QueueUnavailable: as the class says.
        """
        if headers is None:
            await self._publish(job, payload)
            return
        with background_transaction(f"republish {job}", headers=headers):
            await self._publish(job, payload)

    async def _publish(self, job: str, payload: Readable) -> None:
        job_id = new_id()
        body: dict[str, Any] = payload.model_dump(mode="json")
        with queue_publish(self._name, job_id, len(orjson.dumps(body))) as trace:
            envelope = Envelope(trace=trace, enqueued_at=time.time(), payload=body)
            try:
                await self._redis.enqueue_job(
                    job, envelope.model_dump(mode="json"), _job_id=job_id, _queue_name=queue_key(self._name)
                )
                await self._wake()
            except (RedisError, OSError) as error:
                raise QueueUnavailable(f"{job} could not be enqueued") from error

    async def _wake(self) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(wake_key(self._name), 1)
            pipe.expire(wake_key(self._name), WAKE_TTL_S)
            await pipe.execute()


def _owning_its_pool(client: ClientT) -> ClientT:
    """`aclose` closes the connections too: by itself a client leaves those of a pool that it was given."""
    client.auto_close_connection_pool = True
    return client


def _pool(url: str, *, max_connections: int) -> ConnectionPool:
    return ConnectionPool.from_url(
        url,
        max_connections=max_connections,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=30,
    )
