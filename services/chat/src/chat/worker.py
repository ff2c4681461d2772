"""`python -m chat.worker`: answers turns, keeps their leases, sweeps. Health is served beside it."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chat.catalogue import Catalogue
from chat.keep_leases import RENEW_EVERY_S, LeaseKeeper
from chat.process_chat_message import Answering, process_chat_message
from chat.provider.client import ProviderClients
from chat.publish_events import EventPublisher
from chat.running_turns import RunningTurns
from chat.settings import ChatSettings
from chat.start import start_process
from chat.sweep import SWEEP_EVERY_S, Sweep
from wire.contracts.jobs import REPLY, ReplyJob
from wire.database import Database
from wire.health import Health
from wire.ids import TurnId
from wire.log import get_logger
from wire.queue import Queue, connect, connect_arq, connect_blocking
from wire.queue_worker import Job, QueueWorker, repeat, stop_on_signals
from wire.redis_keys import CHAT_QUEUE, STOPS_CHANNEL, TRACKING_QUEUE
from wire.serve import serve_beside
from wire.service_tokens import NOBODY, ServiceAuth
from wire.telemetry.setup import stop_telemetry
from wire.worker_app import worker_app

PROCESS = "chat-worker"
TRACKING_TIMEOUT_S = 5.0
RETRY_REDIS_S = 0.5

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerParts:
    answering: Answering
    queue_worker: QueueWorker
    keeper: LeaseKeeper
    sweep: Sweep
    blocking: Redis
    health: Health


async def run_worker(settings: ChatSettings, catalogue: Catalogue, clients: ProviderClients) -> None:
    """Returns when a signal has ended the process's work: turns under way have ended or were handed over."""
    async with _parts(settings, catalogue, clients) as parts:

        def stop() -> None:
            parts.health.draining = True
            parts.queue_worker.stop()

        stop_on_signals(stop)
        app = worker_app(parts.health, settings)
        async with (
            serve_beside(app, host=settings.internal_bind, port=settings.worker_port),
            asyncio.TaskGroup() as background,
        ):
            tasks = [
                background.create_task(work, name=name)
                for name, work in (
                    ("events", parts.answering.publisher.run()),
                    ("leases", repeat("keep leases", RENEW_EVERY_S, parts.keeper.renew)),
                    ("sweep turns", repeat("sweep turns", SWEEP_EVERY_S, parts.sweep.turns)),
                    ("sweep outbox", repeat("sweep outbox", SWEEP_EVERY_S, parts.sweep.outbox)),
                    ("stops", _listen_for_stops(parts.blocking, parts.keeper)),
                )
            ]
            log.info("worker is ready", turns_at_once=settings.turns_at_once)
            await parts.queue_worker.run(drain_timeout_s=settings.drain_timeout_s)
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def _parts(settings: ChatSettings, catalogue: Catalogue, clients: ProviderClients) -> AsyncGenerator[WorkerParts]:
    redis_url = settings.redis_url.get_secret_value()
    async with AsyncExitStack() as closing:
        closing.push_async_callback(stop_telemetry)
        database = Database(settings.database_url.get_secret_value(), application_name=PROCESS)
        closing.push_async_callback(database.close)
        redis, arq, blocking = connect(redis_url), connect_arq(redis_url), connect_blocking(redis_url)
        for client in (redis, arq, blocking):
            closing.push_async_callback(client.aclose)
        closing.push_async_callback(clients.close)
        clients.prepare(catalogue.providers)
        tracking = await closing.enter_async_context(_tracking_client(settings))
        turns = RunningTurns()
        publisher = EventPublisher(redis)
        own_queue, tracking_queue = Queue(arq, CHAT_QUEUE), Queue(arq, TRACKING_QUEUE)
        answering = Answering(
            worker=f"{socket.gethostname()}:{os.getpid()}",
            database=database,
            catalogue=catalogue,
            clients=clients,
            publisher=publisher,
            turns=turns,
            own_queue=own_queue,
            tracking_queue=tracking_queue,
        )

        async def reply(job: ReplyJob) -> None:
            await process_chat_message(answering, TurnId(job.turn_id))

        async def redis_answers() -> None:
            await redis.ping()

        yield WorkerParts(
            answering=answering,
            queue_worker=QueueWorker(
                CHAT_QUEUE,
                [Job(REPLY, ReplyJob, reply)],
                redis=arq,
                blocking=blocking,
                max_jobs=settings.turns_at_once,
            ),
            keeper=LeaseKeeper(database, turns),
            sweep=Sweep(database, redis, own_queue, tracking_queue, tracking),
            blocking=blocking,
            health=Health(PROCESS, required={"database": database.ping, "redis": redis_answers}),
        )


def _tracking_client(settings: ChatSettings) -> httpx.AsyncClient:
    key = settings.service_key.get_secret_value()
    return httpx.AsyncClient(
        base_url=settings.tracking_url,
        timeout=TRACKING_TIMEOUT_S,
        auth=ServiceAuth(key, process=PROCESS, audience="tracking", person=NOBODY),
    )


async def _listen_for_stops(blocking: Redis, keeper: LeaseKeeper) -> None:
    """A stop that is missed here is found by the next renewal of the lease."""
    while True:
        try:
            async with blocking.pubsub() as channel:
                await channel.subscribe(STOPS_CHANNEL)
                async for message in channel.listen():
                    if message["type"] == "message":
                        keeper.stop(TurnId(message["data"].decode(errors="replace")))
        except (RedisError, OSError):
            await asyncio.sleep(RETRY_REDIS_S)


def main() -> None:
    settings, catalogue, clients = start_process(PROCESS)
    uvloop.run(run_worker(settings, catalogue, clients))


if __name__ == "__main__":
    main()
