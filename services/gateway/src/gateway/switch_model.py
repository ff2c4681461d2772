"""A person picks another model for a conversation.

Tracking hears of the switch first and estimates what it costs; then chat makes it. If tracking is away the switch goes
on all the same: chat's outbox tells tracking of the start later.
"""

from pydantic import BaseModel, ConfigDict

from gateway.chat_client import ChatClient
from gateway.errors import UnknownModel
from gateway.tracking_client import TrackingClient
from wire.contracts.chat import ConversationChange, Model
from wire.contracts.tracking import NewSwitch, SwitchEstimate
from wire.ids import ConversationId, PersonId, new_id
from wire.log import get_logger
from wire.problems import Problem

UNKNOWN_ESTIMATE = SwitchEstimate(context_tokens=None, cost_usd=None)

log = get_logger(__name__)


class SwitchedModel(BaseModel):
    """`tracking_id` is `None` when the conversation had that model already: nothing was switched."""

    model_config = ConfigDict(frozen=True)

    tracking_id: str | None
    from_model: str
    to_model: str
    estimate: SwitchEstimate


async def switch_model(
    chat: ChatClient, tracking: TrackingClient, person: PersonId, conversation: ConversationId, to_model: str
) -> SwitchedModel:
    """The conversation has the model, and the next turn answers with it.

    Raises:
        Problem: 404 for an unknown conversation.
        UnknownModel: nothing was changed.
        ServiceUnavailable: chat is away.
    """
    from_model = (await chat.conversation(person, conversation)).model
    model = _find(to_model, (await chat.models(person)).models)
    if model.id == from_model:
        return SwitchedModel(tracking_id=None, from_model=from_model, to_model=from_model, estimate=UNKNOWN_ESTIMATE)
    switch = NewSwitch(
        tracking_id=new_id(), session_id=conversation, from_model=from_model, to_model=model.id, to_price=model.price
    )
    estimate = await _track(tracking, person, switch)
    change = ConversationChange(model=model.id, switch_id=switch.tracking_id, record_start=estimate is None)
    await chat.change_conversation(person, conversation, change)
    log.info("model switched", conversation_id=conversation, from_model=from_model, to_model=model.id)
    return SwitchedModel(
        tracking_id=switch.tracking_id,
        from_model=from_model,
        to_model=model.id,
        estimate=estimate or UNKNOWN_ESTIMATE,
    )


async def _track(tracking: TrackingClient, person: PersonId, switch: NewSwitch) -> SwitchEstimate | None:
    """What tracking estimates; `None` when it could not be told."""
    try:
        return (await tracking.track_model_switch(person, switch)).estimate
    except Problem as problem:
        log.warning("tracking was not told of a switch", code=problem.code, tracking_id=switch.tracking_id)
        return None


def _find(name: str, models: list[Model]) -> Model:
    for model in models:
        if model.id == name:
            return model
    raise UnknownModel(name)
