"""What a worker serves beside its work: its health, and an error on request where that is enabled."""

from starlette.applications import Starlette

from wire.deliberate_error import deliberate_error_routes
from wire.health import Health
from wire.problems import install_problem_handlers
from wire.process_settings import SentrySettings


def worker_app(health: Health, settings: SentrySettings) -> Starlette:
    app = Starlette(routes=[*health.routes(), *deliberate_error_routes(health.name, settings)])
    install_problem_handlers(app)
    return app
