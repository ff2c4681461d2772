"""`/monitoring`: the tunnel of the page's telemetry."""

from fastapi import APIRouter, Request, Response

from gateway.page_config import TUNNEL
from gateway.parts import PartsOf
from wire.problems import Problem

router = APIRouter()


@router.post(TUNNEL, include_in_schema=False)
async def tunnel(request: Request, parts: PartsOf) -> Response:
    """Takes bytes, whatever their content type says: browsers send envelopes without one when a page closes."""
    if parts.tunnel is None:
        raise Problem(404, "no_telemetry", "No Sentry is configured here.")
    await parts.tunnel.forward_envelope(await request.body())
    return Response(b"{}", media_type="application/json")
