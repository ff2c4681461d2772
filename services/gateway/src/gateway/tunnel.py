"""Passes the page's telemetry on to Sentry, so that the page speaks to its own origin only.

Whoever can reach the gateway can send here, so it is no open relay: only envelopes for our own DSN are passed on, only
to its host, and the caller never sees what Sentry answers.

See: https://docs.sentry.io/platforms/javascript/troubleshooting/#using-the-tunnel-option
"""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import httpx
import orjson

from wire.log import get_logger
from wire.problems import Problem

MAX_ENVELOPE_BYTES = 10_000_000
"""A replay's segment is far larger than anything else that the gateway takes."""
MAX_HEADER_BYTES = 10_000
AT_ONCE = 8
TIMEOUT = httpx.Timeout(10.0, connect=3.0)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Dsn:
    """The parts of a DSN that say where an envelope goes."""

    scheme: str
    host: str
    """With the port, if one is named."""
    path: str
    """What stands before the project, usually nothing."""
    project: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises:
        ValueError: it is not a DSN.
        """
        parts = urlsplit(text)
        path, _, project = parts.path.rpartition("/")
        host = parts.netloc.rpartition("@")[2]
        if parts.scheme not in ("http", "https") or not parts.username or not host or not project:
            raise ValueError("not a DSN")
        _ = parts.port
        return cls(parts.scheme, host.lower(), path, project, parts.username)

    @property
    def envelope_url(self) -> str:
        return f"{self.scheme}://{self.host}{self.path}/api/{self.project}/envelope/"


class Tunnel:
    def __init__(self, http: httpx.AsyncClient, dsn: Dsn) -> None:
        self._http = http
        self._dsn = dsn
        self._under_way = 0

    async def forward_envelope(self, envelope: bytes) -> None:
        """The envelope was offered to Sentry; whether Sentry took it is not told.

        Raises:
            Problem: 400, it is no envelope of our own DSN; 429, too many are under way.
        """
        refuse_foreign_envelope(envelope, self._dsn)
        if self._under_way >= AT_ONCE:
            raise Problem(429, "too_many_envelopes", "Too much telemetry at once.", headers={"Retry-After": "5"})
        self._under_way += 1
        try:
            await self._http.post(
                self._dsn.envelope_url,
                content=envelope,
                headers={"Content-Type": "application/x-sentry-envelope"},
                timeout=TIMEOUT,
            )
        except (TimeoutError, httpx.RequestError) as error:
            log.warning("sentry can't be reached", error=type(error).__name__)
        finally:
            self._under_way -= 1


def refuse_foreign_envelope(envelope: bytes, own: Dsn) -> None:
    """Raises:
    Problem: 400, the envelope's first line does not name our own host, project and key.
    """
    first_line = envelope[:MAX_HEADER_BYTES].split(b"\n", 1)[0]
    try:
        named = Dsn.parse(orjson.loads(first_line)["dsn"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Problem(400, "not_an_envelope", "This is not a Sentry envelope with a DSN.") from None
    if (named.host, named.path, named.project, named.key) != (own.host, own.path, own.project, own.key):
        raise Problem(400, "foreign_dsn", "This envelope is for another Sentry project.")
