"""The gateway, assembled: what it is made of, in which order it is started and stopped."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypedDict

from fastapi import FastAPI
from starlette.middleware import Middleware

from gateway import people_store
from gateway.chat_client import ChatClient
from gateway.host_guard import HostGuard, is_loopback
from gateway.identify import Identify
from gateway.page_config import TUNNEL
from gateway.parts import Parts
from gateway.provoke_error import ErrorProvoker
from gateway.refuse import RefuseLargeBodies, install_error_handlers
from gateway.routes import about, conversations, monitoring, openai, page, sentry_check, turns, usage
from gateway.security_headers import SecurityHeaders
from gateway.service_client import PROCESS, http_client
from gateway.settings import GatewaySettings
from gateway.system_health import SystemHealth
from gateway.tracking_client import TrackingClient
from gateway.tunnel import MAX_ENVELOPE_BYTES, Dsn, Tunnel
from gateway.turn_streams import TurnStreams
from wire.asgi import LogRequests
from wire.database import Database, DatabaseUnavailable
from wire.health import Health
from wire.log import get_logger
from wire.queue import connect, connect_blocking
from wire.telemetry.setup import stop_telemetry

RETRY_DATABASE_S = 2.0

log = get_logger(__name__)


class State(TypedDict):
    parts: Parts


class Drain:
    """What SIGTERM does: not ready any more, and every stream ends. Called from a signal's handler."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._running: tuple[asyncio.AbstractEventLoop, TurnStreams] | None = None

    def when_running(self, streams: TurnStreams) -> None:
        self._running = asyncio.get_running_loop(), streams

    def __call__(self) -> None:
        self._health.draining = True
        if self._running is not None:
            loop, streams = self._running
            loop.call_soon_threadsafe(streams.drain)


def create_app(settings: GatewaySettings, health: Health, drain: Drain) -> FastAPI:
    """The app; what `health` asks is known to it while the app runs."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[State]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(stop_telemetry)
            parts = await _start(settings, health, stack)
            drain.when_running(parts.streams)
            yield {"parts": parts}
            await _finish_errands(parts)

    app = FastAPI(
        title="Hopline",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        middleware=[Middleware(LogRequests), Middleware(SecurityHeaders), *_guards(settings), _body_sizes()],
    )
    install_error_handlers(app)
    app.router.routes.extend(health.routes())
    for group in (about, conversations, turns, usage, openai, monitoring):
        app.include_router(group.router)
    if settings.sentry_test_enabled:
        app.include_router(sentry_check.router)
    app.mount("/assets", page.assets(settings.static_dir))
    app.include_router(page.page_routes(settings.static_dir))
    return app


async def _start(settings: GatewaySettings, health: Health, stack: AsyncExitStack) -> Parts:
    """Everything that the routes need, each closed by `stack` in reverse order."""
    database = Database(settings.database_url.get_secret_value(), application_name=PROCESS)
    stack.push_async_callback(database.close)
    redis = connect(settings.redis_url.get_secret_value())
    stack.push_async_callback(redis.aclose)
    blocking = connect_blocking(settings.redis_url.get_secret_value())
    stack.push_async_callback(blocking.aclose)
    http = await stack.enter_async_context(http_client())
    streams = TurnStreams(redis, blocking)
    await _run_beside(stack, streams.run(), "turn streams")
    if settings.sign_in == "local":
        await _run_beside(stack, _ensure_local_person(database), "local person")

    async def ping_redis() -> None:
        await redis.ping()

    health.required = {"database": database.ping}
    health.optional = {"redis": ping_redis}
    key = settings.service_key.get_secret_value()
    return Parts(
        settings=settings,
        identify=Identify(database, sign_in=settings.sign_in),
        chat=ChatClient(http, url=settings.chat_url, key=key),
        tracking=TrackingClient(http, url=settings.tracking_url, key=key),
        streams=streams,
        system_health=SystemHealth(http, health, settings.urls_of_others),
        error_provoker=ErrorProvoker(http, settings.urls_of_others),
        tunnel=None if settings.sentry_dsn is None else Tunnel(http, Dsn.parse(settings.sentry_dsn)),
    )


async def _run_beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


async def _ensure_local_person(database: Database) -> None:
    """The person `local` is in the database, as soon as that can be reached."""
    while True:
        try:
            async with database.transaction() as connection:
                await people_store.ensure_local_person(connection)
            return
        except DatabaseUnavailable:
            log.warning("database is away, trying again", delay_s=RETRY_DATABASE_S)
            await asyncio.sleep(RETRY_DATABASE_S)


async def _finish_errands(parts: Parts) -> None:
    if parts.errands:
        await asyncio.wait(parts.errands, timeout=2.0)


def _body_sizes() -> Middleware:
    return Middleware(RefuseLargeBodies, own_limits={TUNNEL: MAX_ENVELOPE_BYTES})


def _guards(settings: GatewaySettings) -> list[Middleware]:
    """Where nobody signs in, or where only this machine is meant, pages of other sites are kept out."""
    if settings.sign_in == "local" and not is_loopback(settings.bind):
        log.warning(
            "nobody signs in here and the gateway listens beyond this machine: whoever reaches it can use it",
            bind=settings.bind,
            instead="HOPLINE_BIND=127.0.0.1 or HOPLINE_SIGN_IN=keys",
        )
    if settings.sign_in == "local" or is_loopback(settings.bind):
        return [Middleware(HostGuard, bind=settings.bind, allowed=settings.allowed_hosts)]
    return []
