"""Which traces are kept."""

from typing import Any

import pytest

from wire.telemetry.sampling import make_sampler

OUR_PAGE = [(b"sec-fetch-site", b"same-origin")]
ANOTHER_PAGE = [(b"sec-fetch-site", b"cross-site")]


def context(parent: bool | None, *, path: str = "/turns", headers: Any = ()) -> dict[str, Any]:
    return {"parent_sampled": parent, "asgi_scope": {"path": path, "headers": list(headers)}}


def test_a_trace_that_begins_here_is_kept_at_the_rate() -> None:
    assert make_sampler(0.25, at_the_edge=False)(context(None)) == 0.25
    assert make_sampler(0.25, at_the_edge=False)({}) == 0.25


@pytest.mark.parametrize("at_the_edge", [True, False])
def test_an_incoming_no_is_always_honoured(at_the_edge: bool) -> None:
    assert make_sampler(1.0, at_the_edge=at_the_edge)(context(False, headers=OUR_PAGE)) == 0.0


def test_an_incoming_yes_of_another_process_is_honoured_inside() -> None:
    assert make_sampler(0.0, at_the_edge=False)(context(True)) == 1.0
    assert make_sampler(0.0, at_the_edge=False)({"parent_sampled": True}) == 1.0


def test_an_incoming_yes_of_our_page_is_honoured_at_the_edge() -> None:
    assert make_sampler(0.0, at_the_edge=True)(context(True, headers=OUR_PAGE)) == 1.0


@pytest.mark.parametrize("headers", [[], ANOTHER_PAGE, [(b"sec-fetch-site", b"same-site")]])
def test_a_strangers_yes_counts_for_nothing_at_the_edge(headers: Any) -> None:
    assert make_sampler(0.0, at_the_edge=True)(context(True, headers=headers)) == 0.0
    assert make_sampler(0.25, at_the_edge=True)(context(True, headers=headers)) == 0.25


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/health", "/metrics", "/monitoring"])
def test_probes_and_the_tunnel_are_never_kept(path: str) -> None:
    assert make_sampler(1.0, at_the_edge=True)(context(True, path=path, headers=OUR_PAGE)) == 0.0
