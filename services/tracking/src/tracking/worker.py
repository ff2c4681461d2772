"""`python -m tracking.worker`: takes usage and switch events off the queue, with its health on a port beside."""

from contextlib import AsyncExitStack

import uvloop

from tracking.jobs import ledger_jobs
from tracking.settings import WorkerSettings
from wire.database import Database
from wire.health import Health
from wire.log import configure_logging, get_logger
from wire.process_settings import load_settings
from wire.queue import connect_arq, connect_blocking
from wire.queue_worker import QueueWorker, stop_on_signals
from wire.redis_keys import TRACKING_QUEUE
from wire.serve import serve_beside
from wire.telemetry.setup import start_telemetry, stop_telemetry
from wire.worker_app import worker_app

PROCESS = "tracking-worker"
MAX_JOBS = 16

log = get_logger(__name__)


def main() -> None:
    settings = load_settings(WorkerSettings)
    start_telemetry(PROCESS, settings)
    configure_logging(PROCESS, style=settings.log_format, level=settings.log_level)
    uvloop.run(run(settings))


async def run(settings: WorkerSettings) -> None:
    """Jobs are taken until a signal asks for the end; those under way are finished or handed over first."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(stop_telemetry)
        database = Database(settings.database_url.get_secret_value(), application_name=PROCESS)
        stack.push_async_callback(database.close)
        redis = connect_arq(settings.redis_url.get_secret_value())
        stack.push_async_callback(redis.aclose)
        blocking = connect_blocking(settings.redis_url.get_secret_value())
        stack.push_async_callback(blocking.aclose)

        async def ping_redis() -> None:
            await redis.ping()

        worker = QueueWorker(TRACKING_QUEUE, ledger_jobs(database), redis=redis, blocking=blocking, max_jobs=MAX_JOBS)
        health = Health(PROCESS, required={"database": database.ping, "redis": ping_redis})

        def drain() -> None:
            health.draining = True
            worker.stop()

        stop_on_signals(drain)
        await stack.enter_async_context(
            serve_beside(worker_app(health, settings), host=settings.internal_bind, port=settings.port)
        )
        log.info("tracking-worker takes jobs", health_port=settings.port)
        await worker.run(drain_timeout_s=settings.drain_timeout_s)


if __name__ == "__main__":
    main()
