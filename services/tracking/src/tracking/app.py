"""The HTTP process of tracking, assembled."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI

from tracking.routes import ledger_routes
from tracking.settings import TrackingSettings
from wire.asgi import LimitBody, LogRequests
from wire.database import Database
from wire.deliberate_error import deliberate_error_routes
from wire.health import Health
from wire.problems import install_problem_handlers
from wire.telemetry.setup import stop_telemetry

PROCESS = "tracking"
MAX_BODY_BYTES = 256 * 1024
"""A question about 1,000 events, each id of up to 200 characters, fits."""


class State(TypedDict):
    database: Database


def create_app(settings: TrackingSettings, health: Health) -> FastAPI:
    """The app; what `health` needs is known to it while the app runs."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[State]:
        database = Database(settings.database_url.get_secret_value(), application_name=PROCESS)
        health.required = {"database": database.ping}
        try:
            yield {"database": database}
        finally:
            await database.close()
            await stop_telemetry()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    install_problem_handlers(app)
    app.router.routes.extend([*health.routes(), *deliberate_error_routes(PROCESS, settings)])
    app.include_router(ledger_routes(settings.service_key.get_secret_value()))
    app.add_middleware(LimitBody, max_bytes=MAX_BODY_BYTES)
    app.add_middleware(LogRequests)
    return app
