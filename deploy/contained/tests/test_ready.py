"""The health check tells an answer of 200 from every other one, and from none."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contained.ready import answers_200
from local.ports import free_port
from parts.background_server import BackgroundServer


async def answer(request: Request) -> Response:
    return Response(status_code=int(request.path_params["status"]))


def test_only_200_is_ready() -> None:
    with BackgroundServer(Starlette(routes=[Route("/{status}", answer)])) as server:
        assert [answers_200(server.port, path) for path in ("/200", "/503", "/404")] == [True, False, False]


def test_a_closed_port_is_not_ready() -> None:
    assert not answers_200(free_port(), "/readyz")
