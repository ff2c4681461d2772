"""The HTTP side of chat: built from settings, with what it needs made in the lifespan and closed in reverse."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from redis.asyncio import Redis

from chat.accept_turn import Accepting
from chat.catalogue import Catalogue
from chat.provider.client import ProviderClients
from chat.routes.conversation_routes import conversation_routes
from chat.routes.turn_routes import turn_routes
from chat.settings import ChatSettings
from wire.asgi import LimitBody, LogRequests
from wire.caller import require_caller
from wire.database import Database
from wire.deliberate_error import deliberate_error_routes
from wire.health import Health
from wire.problems import install_problem_handlers
from wire.queue import Queue, connect, connect_arq
from wire.redis_keys import CHAT_QUEUE
from wire.telemetry.setup import stop_telemetry

MAX_BODY_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class ChatState:
    """What the routes need, made once a process."""

    database: Database
    catalogue: Catalogue
    redis: Redis
    accepting: Accepting


def create_app(settings: ChatSettings, catalogue: Catalogue, clients: ProviderClients) -> tuple[FastAPI, Health]:
    """The app and its health, which the server tells to drain."""
    database = Database(settings.database_url.get_secret_value(), application_name="chat")
    redis_url = settings.redis_url.get_secret_value()
    redis, arq = connect(redis_url), connect_arq(redis_url)
    state = ChatState(
        database=database,
        catalogue=catalogue,
        redis=redis,
        accepting=Accepting(database, catalogue, Queue(arq, CHAT_QUEUE)),
    )

    async def redis_answers() -> None:
        await redis.ping()

    health = Health("chat", required={"database": database.ping}, optional={"redis": redis_answers})

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as closing:
            closing.push_async_callback(stop_telemetry)
            closing.push_async_callback(database.close)
            closing.push_async_callback(redis.aclose)
            closing.push_async_callback(arq.aclose)
            closing.push_async_callback(clients.close)
            yield

    app = FastAPI(title="Hopline chat", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(LimitBody, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(LogRequests)
    install_problem_handlers(app)
    app.router.routes.extend([*health.routes(), *deliberate_error_routes(health.name, settings)])
    caller = require_caller(settings.service_key.get_secret_value(), audience="chat")
    app.include_router(conversation_routes(state.database, state.catalogue, state.redis, caller))
    app.include_router(turn_routes(state.accepting, state.redis, caller))
    return app, health
