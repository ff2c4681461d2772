"""Which of the events that an outbox has sent stand in the ledger, so that it keeps sending only the others."""

from collections.abc import Sequence

from tracking.model_switches import halves_received
from tracking.usage_calls import held_calls
from wire.contracts.jobs import switch_completed_event_id, switch_started_event_id
from wire.database import Database
from wire.telemetry.spans import span


async def held_events(database: Database, ids: Sequence[str]) -> list[str]:
    """Those of `ids` that are held, in the order of the question: calls, and the two halves of switches.

    A switch's start is held once it has come itself: a completion tells less of it.
    """
    with span("function", "held_events"):
        async with database.transaction() as connection:
            held = await held_calls(connection, ids)
            for switch in await halves_received(connection, _tracking_ids(ids)):
                if switch.start_received_at is not None:
                    held.add(switch_started_event_id(switch.tracking_id))
                if switch.end_received_at is not None:
                    held.add(switch_completed_event_id(switch.tracking_id))
    return [event_id for event_id in ids if event_id in held]


def _tracking_ids(ids: Sequence[str]) -> list[str]:
    """What could be a switch's id among them: everything up to the last colon."""
    return sorted({event_id.rpartition(":")[0] for event_id in ids})
