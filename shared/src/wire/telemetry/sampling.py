"""Which traces are kept.

Between our own processes a parent's decision stands, whatever it was. At the edge an incoming "no" is honoured always
and an incoming "yes" only from our own page: anybody can forge the header, and a forged "yes" would cost money.
Probes of health are never sampled.
"""

from collections.abc import Callable
from typing import Any

UNSAMPLED_PATHS = frozenset({"/healthz", "/readyz", "/api/health", "/metrics", "/monitoring"})

Sampler = Callable[[dict[str, Any]], float]


def make_sampler(rate: float, *, at_the_edge: bool) -> Sampler:
    """The `traces_sampler` of a process; `at_the_edge` for the one that strangers can reach."""

    def sample(context: dict[str, Any]) -> float:
        asgi_scope: dict[str, Any] = context.get("asgi_scope") or {}
        if asgi_scope.get("path") in UNSAMPLED_PATHS:
            return 0.0
        parent: bool | None = context.get("parent_sampled")
        if parent is None:
            return rate
        if not parent:
            return 0.0
        if at_the_edge and not _is_from_our_page(asgi_scope):
            return rate
        return 1.0

    return sample


def _is_from_our_page(asgi_scope: dict[str, Any]) -> bool:
    """Browsers alone set `Sec-Fetch-Site`, and pages can't: `same-origin` is what our own page's requests carry."""
    headers: list[tuple[bytes, bytes]] = asgi_scope.get("headers") or []
    return (b"sec-fetch-site", b"same-origin") in headers
