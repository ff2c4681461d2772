"""`/sentry-test`: an error on purpose, here or in the process that `service` names. Only where it is enabled."""

from fastapi import APIRouter, Response

from gateway.parts import PartsOf
from gateway.service_client import PROCESS
from wire.deliberate_error import PATH, DeliberateError

router = APIRouter()


@router.get(PATH, include_in_schema=False)
async def provoke_error(parts: PartsOf, service: str = PROCESS) -> Response:
    if service == PROCESS:
        raise DeliberateError(PROCESS)
    answer = await parts.error_provoker.provoke(service)
    return Response(answer.content, status_code=answer.status_code, media_type=answer.headers.get("content-type"))
