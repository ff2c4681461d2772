"""What both processes of chat do first: settings, telemetry, logs, the catalogue of models."""

import sys

from chat.catalogue import Catalogue
from chat.models_file import WrongModelsFile
from chat.provider.client import ProviderClients
from chat.settings import ChatSettings
from wire.log import configure_logging
from wire.process_settings import EXIT_WRONG_SETTING, load_settings
from wire.telemetry.setup import start_telemetry


def start_process(name: str) -> tuple[ChatSettings, Catalogue, ProviderClients]:
    """A wrong setting or a wrong `models.toml` ends the process here, with one sentence."""
    settings = load_settings(ChatSettings)
    start_telemetry(name, settings, own_urls=(settings.tracking_url,))
    configure_logging(name, style=settings.log_format, level=settings.log_level)
    clients = ProviderClients()
    try:
        catalogue = Catalogue(settings, clients.list_models)
    except WrongModelsFile as error:
        print(f"Wrong setting: {error}", file=sys.stderr)
        sys.exit(EXIT_WRONG_SETTING)
    return settings, catalogue, clients
