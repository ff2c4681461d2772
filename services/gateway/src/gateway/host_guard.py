"""Keeps pages of other sites from driving this gateway, DNS rebinding included.

Where nobody signs in, being able to send a request is all it takes. So a request must be addressed to a name that can
only be ours, and must not come from another site's page.

| check | refused |
|---|---|
| `Host` | not loopback, not the address that is bound, not in `HOPLINE_ALLOWED_HOSTS`; missing or twice: 421 |
| `Origin`, if present | another origin than `Host`, unless in `HOPLINE_ALLOWED_HOSTS`; `null`: 403 |
| `Sec-Fetch-Site`, if present | `cross-site` or `same-site` on anything but a top-level navigation by GET: 403 |

`/healthz` and `/readyz` are exempt: a container's probe calls them by an address, and they tell nothing.

See: https://web.dev/articles/fetch-metadata
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.refuse import refuse
from wire.problems import Problem

EXEMPT_PATHS = frozenset({"/healthz", "/readyz"})
OWN_SITE = frozenset({"same-origin", "none"})
DEFAULT_PORTS = {"http": 80, "https": 443}


class HostGuard:
    """See the module. `allowed` holds names or addresses, with a port or for any port."""

    def __init__(self, app: ASGIApp, *, bind: str, allowed: frozenset[str]) -> None:
        self._app = app
        self._allowed = allowed
        self._bound = None if is_any_address(bind) else bind.lower().strip("[]")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in EXEMPT_PATHS:
            return await self._app(scope, receive, send)
        problem = self._objection(scope)
        if problem is not None:
            return await refuse(scope, send, problem)
        await self._app(scope, receive, send)

    def _objection(self, scope: Scope) -> Problem | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        hosts = _values(headers, b"host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return Problem(
                421,
                "host_not_allowed",
                "This address is not one that Hopline answers to. Name it in HOPLINE_ALLOWED_HOSTS if it should be.",
            )
        origins = _values(headers, b"origin")
        if any(not self._is_own_origin(origin, hosts[0]) for origin in origins):
            return Problem(403, "origin_not_allowed", "Pages of other sites may not use this Hopline.")
        if not all(site in OWN_SITE for site in _values(headers, b"sec-fetch-site")) and not _is_navigation(scope):
            return Problem(403, "cross_site", "Pages of other sites may not use this Hopline.")
        return None

    def _is_ours(self, authority: str) -> bool:
        name = host_name(authority)
        if name is None:
            return False
        return is_loopback(name) or name == self._bound or name in self._allowed or authority.lower() in self._allowed

    def _is_own_origin(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
            default = DEFAULT_PORTS[parts.scheme]
            same = (parts.hostname, parts.port or default) == (host_name(host), urlsplit(f"//{host}").port or default)
        except (ValueError, KeyError):
            return False
        return same or parts.hostname in self._allowed or parts.netloc.lower() in self._allowed


def host_name(authority: str) -> str | None:
    """The name or address in a `Host` header, in lower case, without port and brackets; `None` if it is malformed."""
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port
    except ValueError:
        return None
    if parts.netloc != authority or parts.username is not None or not parts.hostname:
        return None
    return parts.hostname.removesuffix(".")


def is_loopback(name: str) -> bool:
    """Whether only this machine can be meant, whatever a name server says."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def is_any_address(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind.strip("[]")).is_unspecified
    except ValueError:
        return bind == ""


def _is_navigation(scope: Scope) -> bool:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return (
        scope["method"] in ("GET", "HEAD")
        and _values(headers, b"sec-fetch-mode") == ["navigate"]
        and _values(headers, b"sec-fetch-dest") == ["document"]
    )


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key == name]
