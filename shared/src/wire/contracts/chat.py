"""What the gateway asks of chat, and what chat answers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from wire.contracts import Readable, StrictBody
from wire.contracts.money import Price

MAX_MESSAGE_CHARS = 200_000
MAX_TITLE_CHARS = 200
MAX_MODEL_CHARS = 200
MAX_IDEMPOTENCY_KEY_CHARS = 200

TurnState = Literal["queued", "running", "complete", "failed", "stopped"]
ENDED_STATES: frozenset[str] = frozenset({"complete", "failed", "stopped"})

UuidText = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
ModelName = Annotated[str, Field(min_length=1, max_length=MAX_MODEL_CHARS, pattern=r"^[^\x00-\x1f\x7f]*$")]
MessageText = Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARS)]


class NewConversation(StrictBody):
    model: ModelName | None = None


class ConversationChange(StrictBody):
    """A new title, or a new model with the switch that brought it."""

    title: Annotated[str, Field(min_length=1, max_length=MAX_TITLE_CHARS)] | None = None
    model: ModelName | None = None
    switch_id: UuidText | None = None
    record_start: bool = False
    """Tracking could not be told of the switch's start: chat's outbox tells it later."""


class Conversation(Readable):
    id: str
    title: str
    model: str
    created_at: datetime
    updated_at: datetime


class ConversationPage(Readable):
    conversations: list[Conversation]
    next: str | None = None
    """Pass as `before` for the page after this one."""


class TurnUsage(Readable):
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: str | None = None
    source: Literal["reported", "estimated", "recovered"] = "reported"


class TurnError(Readable):
    code: str
    message: str
    retryable: bool


class TurnSummary(Readable):
    """A turn without its text."""

    id: str
    conversation_id: str
    person_message_id: str
    state: TurnState
    model: str
    attempt: int
    usage: TurnUsage | None = None
    error: TurnError | None = None
    finish_reason: str | None = None
    trace_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    first_token_at: datetime | None = None
    ended_at: datetime | None = None


class Turn(TurnSummary):
    """A turn with its text: the whole of it once ended, up to the last checkpoint (≤ 2 s old) while it runs."""

    text: str
    place: int | None = None
    """While queued: how many turns stand before it."""
    chunks: list[dict[str, Any]] = []
    """Once ended: what the provider sent beside plain text, in order, each a `ChunkData`."""


class AcceptedTurn(Turn):
    replayed: bool = False
    """The Idempotency-Key was seen before: this is the turn of then."""


class Message(Readable):
    id: str
    parent_id: str | None
    role: Literal["user", "assistant"]
    text: str
    model: str | None
    created_at: datetime
    turn: TurnSummary | None = None


class ConversationDetail(Conversation):
    messages: list[Message]


class CompletionRequest(StrictBody):
    """The parts of a `/v1/chat/completions` request that go to the provider as the caller sent them."""

    messages: list[dict[str, Any]]
    parameters: dict[str, Any] = {}


class NewTurn(StrictBody):
    """A message to answer: in a conversation, or (with `completion`) as a `/v1` call with a history of its own."""

    conversation_id: UuidText | None = None
    text: Annotated[str, Field(max_length=MAX_MESSAGE_CHARS)]
    model: ModelName | None = None
    parent_id: UuidText | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARS)] | None = None
    completion: CompletionRequest | None = None


class Model(Readable):
    id: str
    provider: str
    context_window: int | None = None
    description: str | None = None
    price: Price | None = None


class ModelList(Readable):
    default: str | None
    models: list[Model]
