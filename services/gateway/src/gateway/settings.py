"""What the gateway reads from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr

from wire.process_settings import EnvironmentSettings, Port, ProcessSettings, RedisSettings

ServiceUrl = Annotated[str, AfterValidator(lambda url: str(AnyHttpUrl(url)).rstrip("/"))]


class DatabaseSettings(EnvironmentSettings):
    database_url: Annotated[SecretStr, Field(validation_alias="HOPLINE_GATEWAY_DATABASE_URL")]


class GatewaySettings(ProcessSettings, RedisSettings, DatabaseSettings):
    bind: Annotated[str, Field(validation_alias="HOPLINE_BIND")] = "127.0.0.1"
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
    def allowed_hosts(self) -> frozenset[str]:
        names = (name.strip().lower() for name in self.allowed_host_list.split(","))
        return frozenset(name for name in names if name)

    @property
    def internal_urls(self) -> tuple[str, ...]:
        return (self.chat_url, self.chat_worker_url, self.tracking_url, self.tracking_worker_url)
