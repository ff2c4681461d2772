"""The secrets of a deployment: one file each in a volume, readable by a group of its own.

A container gets the volume and the groups of what it needs (`group_add` in docker-compose.yml), so that the proxy reads
nothing and tracking not chat's database. The services read them as `NAME_FILE`.

| file | group | read by |
|---|---|---|
| `postgres-password` | 20001 | postgres, databases |
| `gateway-database-url` | 20002 | gateway, gateway-migrate, databases |
| `chat-database-url` | 20003 | chat, chat-worker, chat-migrate, databases |
| `tracking-database-url` | 20004 | tracking, tracking-worker, tracking-migrate, databases |
| `redis.conf` | 20005 | redis |
| `redis-url` | 20006 | gateway, chat, chat-worker, tracking-worker |
| `service-key` | 20007 | the five services |
"""

from pathlib import Path

FOLDER = Path("/run/hopline/secrets")

ADMIN = "hopline"
POSTGRES = "postgres:5432"
REDIS = "redis:6379"

OWNERS = ("gateway", "chat", "tracking")
"""The services that own a database."""

POSTGRES_PASSWORD = "postgres-password"  # noqa: S105 - a file's name
REDIS_CONF = "redis.conf"
REDIS_URL = "redis-url"
SERVICE_KEY = "service-key"

GROUPS = {
    POSTGRES_PASSWORD: 20001,
    "gateway-database-url": 20002,
    "chat-database-url": 20003,
    "tracking-database-url": 20004,
    REDIS_CONF: 20005,
    REDIS_URL: 20006,
    SERVICE_KEY: 20007,
}


def database_url_file(owner: str) -> str:
    return f"{owner}-database-url"
