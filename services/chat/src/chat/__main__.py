"""`python -m chat`: the HTTP service."""

from chat.app import create_app
from chat.start import start_process
from wire.serve import serve


def main() -> None:
    settings, catalogue, clients = start_process("chat")
    app, health = create_app(settings, catalogue, clients)

    def drain() -> None:
        health.draining = True

    serve(
        app,
        host=settings.internal_bind,
        port=settings.port,
        drain_timeout_s=settings.drain_timeout_s,
        on_drain=drain,
    )


if __name__ == "__main__":
    main()
