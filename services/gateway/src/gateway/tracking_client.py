"""Tracking, as the gateway sees it: switches begin there, and usage is read there."""

from collections.abc import Mapping

import httpx

from gateway.service_client import ServiceClient
from wire.contracts.tracking import NewSwitch, SessionUsage, TrackedSwitch, UsageReport
from wire.ids import ConversationId, PersonId


class TrackingClient:
    """Raises, in every call, what `ServiceClient.ask` raises."""

    def __init__(self, http: httpx.AsyncClient, *, url: str, key: str) -> None:
        self._service = ServiceClient(http, "tracking", url=url, key=key)

    async def track_model_switch(self, person: PersonId, switch: NewSwitch) -> TrackedSwitch:
        """The same `tracking_id` again changes nothing."""
        return await self._service.ask(TrackedSwitch, "POST", "/switches", person=person, body=switch)

    async def usage(self, person: PersonId, query: Mapping[str, str]) -> UsageReport:
        return await self._service.ask(UsageReport, "GET", "/usage", person=person, query=query)

    async def get_model_usage_by_session(self, person: PersonId, session: ConversationId) -> SessionUsage:
        return await self._service.ask(SessionUsage, "GET", f"/sessions/{session}/usage", person=person)
