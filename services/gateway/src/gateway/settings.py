"""What the gateway reads from the environment."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from wire.process_settings import EnvironmentSettings, Port, ProcessSettings, RedisSettings


def _service_url(url: str) -> str:
    if not _names_a_host(url, ("http", "https")):
        raise ValueError("This is not a URL such as http://127.0.0.1:8001")
    return url.rstrip("/")


def _postgresql_url(url: SecretStr) -> SecretStr:
    if not _names_a_host(url.get_secret_value(), ("postgresql", "postgres")):
        raise ValueError("This is not a URL such as postgresql://user:password@host:5432/database")
    return url


def _names_a_host(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


ServiceUrl = Annotated[str, AfterValidator(_service_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_postgresql_url)]


class DatabaseSettings(EnvironmentSettings):
    database_url: Annotated[DatabaseUrl, Field(validation_alias="HOPLINE_GATEWAY_DATABASE_URL")]


class GatewaySettings(ProcessSettings, RedisSettings, DatabaseSettings):
    bind: Annotated[str, Field(validation_alias="HOPLINE_BIND")] = "127.0.0.1"
    """The address at which people reach it, whatever stands in between."""
    listen_address: Annotated[str | None, Field(validation_alias="HOPLINE_GATEWAY_LISTEN")] = None
    """The address that it listens on where that is another one: behind a proxy, or behind a port of a container."""
    trusted_proxies: Annotated[str, Field(validation_alias="HOPLINE_TRUSTED_PROXIES")] = ""
    """Addresses and networks, with commas between them, whose `X-Forwarded-For` and `-Proto` are believed."""
    port: Annotated[Port, Field(validation_alias="HOPLINE_GATEWAY_PORT")] = 8000
    chat_url: Annotated[ServiceUrl, Field(validation_alias="HOPLINE_CHAT_URL")] = "http://127.0.0.1:8001"
    chat_worker_url: Annotated[ServiceUrl, Field(validation_alias="HOPLINE_CHAT_WORKER_URL")] = "http://127.0.0.1:8011"
    tracking_url: Annotated[ServiceUrl, Field(validation_alias="HOPLINE_TRACKING_URL")] = "http://127.0.0.1:8002"
    tracking_worker_url: Annotated[ServiceUrl, Field(validation_alias="HOPLINE_TRACKING_WORKER_URL")] = (
        "http://127.0.0.1:8012"
    )
    allowed_host_list: Annotated[str, Field(validation_alias="HOPLINE_ALLOWED_HOSTS")] = ""
    """Names besides loopback that the gateway answers to, with commas between them."""
    static_dir: Annotated[Path, Field(validation_alias="HOPLINE_STATIC_DIR")] = Path("frontend/dist")

    @property
    def listens_on(self) -> str:
        return self.listen_address or self.bind

    @property
    def allowed_hosts(self) -> frozenset[str]:
        names = (name.strip().lower() for name in self.allowed_host_list.split(","))
        return frozenset(name for name in names if name)

    @property
    def urls_of_others(self) -> dict[str, str]:
        """Of every other process, by its name."""
        return {
            "chat": self.chat_url,
            "chat-worker": self.chat_worker_url,
            "tracking": self.tracking_url,
            "tracking-worker": self.tracking_worker_url,
        }

    @property
    def internal_urls(self) -> tuple[str, ...]:
        return tuple(self.urls_of_others.values())
