"""Claims a turn for this worker: in one transaction the lease is taken, whatever call a dead attempt left open is
settled, and the row of the first call of this attempt is opened. So there is no moment in which a call may run unseen.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.catalogue import Catalogue, ModelRoute
from chat.prompt import Prompt, estimate_tokens, prompt_from_branch, prompt_from_completion
from chat.settle_calls import settle_open_calls
from chat.stores import call_store, conversation_store, turn_store
from wire.contracts.jobs import SwitchStarted, UsageEvent
from wire.database import Database
from wire.ids import CallId, ConversationId, MessageId, PersonId, TurnId, call_id
from wire.telemetry.spans import current_trace_id

FIRST_CALL = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """A turn that is ours under `attempt`, and all that answering it needs."""

    turn: TurnId
    attempt: int
    conversation: ConversationId
    owner: PersonId
    person_message: MessageId
    origin: str
    model: str
    route: ModelRoute | None
    """`None` when the model is no longer on offer."""
    prompt: Prompt
    kept_text: str
    """What an earlier attempt said and this one goes on from; empty unless the model continues a prefill."""
    switch: SwitchStarted | None
    accepted_at: datetime
    claimed_at: datetime
    aborted: list[UsageEvent]
    """Calls of earlier attempts that this claim settled."""

    def call(self, number: int) -> CallId:
        return call_id(self.turn, self.attempt, number)

    @property
    def estimated_input_tokens(self) -> int:
        return self.prompt.estimated_tokens + estimate_tokens(len(self.kept_text))

    @property
    def queue_wait_ms(self) -> int:
        return max(0, round((self.claimed_at - self.accepted_at).total_seconds() * 1000))


async def claim_turn(database: Database, catalogue: Catalogue, turn: TurnId, worker: str) -> Claim | None:
    """`None` when the turn is not queued: it is another's, it has ended, or it never was.

    Raises:
        DatabaseUnavailable: nothing was claimed.
    """
    async with database.transaction() as connection:
        row = await turn_store.claim(connection, turn, worker)
        if row is None:
            return None
        route = catalogue.route(row.model)
        kept = row.partial_text if route is not None and route.entry.continues_prefill else ""
        aborted: list[UsageEvent] = []
        if row.attempt > 1:
            aborted = await settle_open_calls(connection, turn, said=row.partial_text)
            await turn_store.restart_text(connection, turn, kept)
        prompt = await _prompt(connection, row, route)
        claim = _claim(row, route, prompt, kept, aborted)
        if route is not None:
            await open_call(connection, claim, FIRST_CALL)
    return claim


async def open_call(connection: AsyncConnection, claim: Claim, number: int) -> None:
    """The row of a call that is about to be sent."""
    assert claim.route is not None, "only a model on offer is called"
    price = claim.route.entry.price
    await call_store.open_call(
        connection,
        id=claim.call(number),
        turn_id=claim.turn,
        session_id=claim.conversation,
        owner_id=claim.owner,
        origin=claim.origin,
        attempt=claim.attempt,
        call=number,
        purpose="reply",
        model=claim.model,
        provider=claim.route.provider.name,
        price=None if price is None else price.model_dump(mode="json"),
        input_tokens=claim.estimated_input_tokens,
        trace_id=current_trace_id(),
    )


async def _prompt(connection: AsyncConnection, row: Row[Any], route: ModelRoute | None) -> Prompt:
    if row.completion is not None:
        return prompt_from_completion(row.completion)
    branch = await conversation_store.branch_to(connection, MessageId(row.person_message_id))
    return prompt_from_branch(branch, None if route is None else route.entry.context_window)


def _claim(row: Row[Any], route: ModelRoute | None, prompt: Prompt, kept: str, aborted: list[UsageEvent]) -> Claim:
    return Claim(
        turn=TurnId(row.id),
        attempt=row.attempt,
        conversation=ConversationId(row.conversation_id),
        owner=PersonId(row.owner_id),
        person_message=MessageId(row.person_message_id),
        origin=row.origin,
        model=row.model,
        route=route,
        prompt=prompt,
        kept_text=kept,
        switch=None if row.switch is None else SwitchStarted.model_validate(row.switch),
        accepted_at=row.created_at,
        claimed_at=row.started_at,
        aborted=aborted,
    )
