"""What tracking's processes read from the environment."""

from typing import Annotated

from pydantic import Field

from wire.database import DatabaseUrl
from wire.process_settings import EnvironmentSettings, Port, ProcessSettings, RedisSettings


class DatabaseSettings(EnvironmentSettings):
    database_url: Annotated[DatabaseUrl, Field(validation_alias="HOPLINE_TRACKING_DATABASE_URL")]


class TrackingSettings(ProcessSettings, DatabaseSettings):
    port: Annotated[Port, Field(validation_alias="HOPLINE_TRACKING_PORT")] = 8002


class WorkerSettings(ProcessSettings, RedisSettings, DatabaseSettings):
    port: Annotated[Port, Field(validation_alias="HOPLINE_TRACKING_WORKER_PORT")] = 8012
