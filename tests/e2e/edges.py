"""The table of edges: which span of which process stands below which, for each path through Hopline.

An edge between two processes is a hop: the span below has the one above as its parent. An edge inside a process may
have other spans of that process in between.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from parts.traces import PAGE, SpanRecord, Trace


@dataclass(frozen=True, slots=True)
class At:
    process: str
    """The Sentry `server_name`."""
    op: str
    name: str | None = None
    """A part of the span's name."""

    def __str__(self) -> str:
        return f"{self.process} {self.op}{f' “{self.name}”' if self.name else ''}"


@dataclass(frozen=True, slots=True)
class Edge:
    above: At
    below: At

    def __str__(self) -> str:
        return f"{self.above} → {self.below}"

    def is_in(self, trace: Trace) -> bool:
        return any(self._stands_below(trace, span) for span in _found(trace, self.below))

    def _stands_below(self, trace: Trace, span: SpanRecord) -> bool:
        above = {found.span_id for found in _found(trace, self.above)}
        if self.above.process != self.below.process:
            return span.parent_id in above
        for ancestor in trace.ancestors_of(span):
            if ancestor.process != self.above.process:
                return False
            if ancestor.span_id in above:
                return True
        return False


def _found(trace: Trace, at: At) -> list[SpanRecord]:
    return trace.find(at.process, at.op, at.name)


def missing_edges(trace: Trace, edges: Iterable[Edge]) -> list[str]:
    return [str(edge) for edge in edges if not edge.is_in(trace)]


PAGE_ASKS = At(PAGE, "http.client", "/turns")
GATEWAY_TAKES = At("gateway", "http.server", "/turns")
GATEWAY_FORWARDS = At("gateway", "http.client", "/turns")
CHAT_ACCEPTS = At("chat", "http.server", "/turns")
CHAT_PUBLISHES = At("chat", "queue.publish", "chat")
WORKER_REPLIES = At("chat-worker", "queue.process", "reply")
WORKER_PUBLISHES = At("chat-worker", "queue.publish", "tracking")
LEDGER_RECORDS = At("tracking-worker", "queue.process", "record_usage")

ASKING = (
    Edge(PAGE_ASKS, GATEWAY_TAKES),
    Edge(GATEWAY_TAKES, GATEWAY_FORWARDS),
    Edge(GATEWAY_FORWARDS, CHAT_ACCEPTS),
    Edge(CHAT_ACCEPTS, At("chat", "db", "INSERT INTO messages")),
    Edge(CHAT_ACCEPTS, At("chat", "db", "INSERT INTO turns")),
    Edge(CHAT_ACCEPTS, CHAT_PUBLISHES),
)
ANSWERING = (
    Edge(CHAT_PUBLISHES, WORKER_REPLIES),
    Edge(WORKER_REPLIES, At("chat-worker", "gen_ai.chat")),
    Edge(WORKER_REPLIES, At("chat-worker", "db", "UPDATE turns")),
    Edge(WORKER_REPLIES, WORKER_PUBLISHES),
)
COUNTING = (
    Edge(WORKER_PUBLISHES, LEDGER_RECORDS),
    Edge(LEDGER_RECORDS, At("tracking-worker", "db", "INSERT INTO usage_calls")),
)
MESSAGE = (*ASKING, *ANSWERING, *COUNTING)
"""A message, from the page's request on."""
CLICK = (Edge(At(PAGE, "ui.action.send"), PAGE_ASKS), *MESSAGE)
"""A message, from the click on."""

PAGE_SWITCHES = At(PAGE, "http.client", "/model")
GATEWAY_SWITCHES = At("gateway", "http.server", "/model")
GATEWAY_TELLS = At("gateway", "http.client", "/switches")
TRACKING_NOTES = At("tracking", "http.server", "/switches")

SWITCH = (
    Edge(PAGE_SWITCHES, GATEWAY_SWITCHES),
    Edge(GATEWAY_SWITCHES, GATEWAY_TELLS),
    Edge(GATEWAY_TELLS, TRACKING_NOTES),
    Edge(TRACKING_NOTES, At("tracking", "db", "INSERT INTO model_switches")),
)
PICK = (Edge(At(PAGE, "ui.action.switch"), PAGE_SWITCHES), *SWITCH)
"""A model picked in the page."""
SWITCH_COMPLETED = (
    Edge(WORKER_REPLIES, WORKER_PUBLISHES),
    Edge(WORKER_PUBLISHES, At("tracking-worker", "queue.process", "complete_model_switch")),
    Edge(
        At("tracking-worker", "queue.process", "complete_model_switch"),
        At("tracking-worker", "db", "INSERT INTO model_switches"),
    ),
)
