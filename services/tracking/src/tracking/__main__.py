"""`python -m tracking`: the HTTP process."""

from tracking.app import PROCESS, create_app
from tracking.settings import TrackingSettings
from wire.health import Health
from wire.log import configure_logging, get_logger
from wire.process_settings import load_settings
from wire.serve import serve
from wire.telemetry.setup import start_telemetry

log = get_logger(__name__)


def main() -> None:
    settings = load_settings(TrackingSettings)
    start_telemetry(PROCESS, settings)
    configure_logging(PROCESS, style=settings.log_format, level=settings.log_level)
    health = Health(PROCESS)

    def drain() -> None:
        health.draining = True

    log.info("tracking listens", host=settings.internal_bind, port=settings.port)
    serve(
        create_app(settings, health),
        host=settings.internal_bind,
        port=settings.port,
        drain_timeout_s=settings.drain_timeout_s,
        on_drain=drain,
    )


if __name__ == "__main__":
    main()
