"""`python -m gateway`: the public process."""

from gateway.app import Drain, create_app
from gateway.service_client import PROCESS
from gateway.settings import GatewaySettings
from wire.health import Health
from wire.log import configure_logging, get_logger
from wire.process_settings import load_settings
from wire.serve import serve
from wire.telemetry.setup import start_telemetry

log = get_logger(__name__)


def main() -> None:
    settings = load_settings(GatewaySettings)
    start_telemetry(PROCESS, settings, own_urls=settings.internal_urls, at_the_edge=True)
    configure_logging(PROCESS, style=settings.log_format, level=settings.log_level)
    health = Health(PROCESS)
    drain = Drain(health)
    app = create_app(settings, health, drain)
    log.info("gateway listens", host=settings.listens_on, port=settings.port, sign_in=settings.sign_in)
    serve(
        app,
        host=settings.listens_on,
        port=settings.port,
        drain_timeout_s=settings.drain_timeout_s,
        on_drain=drain,
        trusted_proxies=settings.trusted_proxies,
    )


if __name__ == "__main__":
    main()
