"""Tells tracking through its queue. What can't be sent now waits in the outbox; the sweep sends it again."""

from collections.abc import Sequence

from wire.contracts import Readable
from wire.log import get_logger
from wire.queue import Queue, QueueUnavailable

log = get_logger(__name__)


async def send_events(queue: Queue, events: Sequence[tuple[str, Readable]]) -> None:
    try:
        for job, payload in events:
            await queue.publish(job, payload)
    except QueueUnavailable:
        log.warning("redis is away, the outbox keeps the events", events=len(events))
