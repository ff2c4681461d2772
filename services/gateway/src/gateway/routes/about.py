"""What the page needs to know before anybody has said anything: its configuration, the models, how everything is."""

from fastapi import APIRouter, Response

from gateway.page_config import PageConfig, page_config
from gateway.parts import PartsOf, Person
from gateway.system_health import HealthReport
from wire.contracts.chat import ModelList

router = APIRouter(prefix="/api")


@router.get("/config")
async def config(parts: PartsOf) -> PageConfig:
    """Open to everybody: the page reads it before anybody has signed in."""
    return page_config(parts.settings)


@router.get("/models")
async def models(parts: PartsOf, person: Person) -> ModelList:
    return await parts.chat.models(person)


@router.get("/health")
async def health(parts: PartsOf, response: Response) -> HealthReport:
    report = await parts.system_health.report()
    response.status_code = 503 if report.status == "down" else 200
    response.headers["Cache-Control"] = "no-store"
    return report
