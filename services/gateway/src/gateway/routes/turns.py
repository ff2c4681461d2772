"""Messages and their answers: send one, follow it, look at it, stop it."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator
from starlette.responses import Response

from gateway.event_stream import EventStream
from gateway.follow_turn import follow_turn, generate_stream_chunks
from gateway.parts import PartsOf, Person
from gateway.routes.ids_in_path import ConversationInPath, TurnInPath
from gateway.turn_streams import EntryId
from wire.contracts import StrictBody
from wire.contracts.chat import MAX_IDEMPOTENCY_KEY_CHARS, MessageText, ModelName, NewTurn, Turn, UuidText
from wire.problems import Problem
from wire.telemetry.profiling import profile
from wire.telemetry.spans import tag
from wire.turn_events import parse_stream_id

router = APIRouter(prefix="/api")


def _readable(text: str) -> str:
    if not text.strip():
        raise ValueError("The message is empty.")
    if "\x00" in text:
        raise ValueError("The message holds a NUL character.")
    return text


class NewMessage(StrictBody):
    text: Annotated[MessageText, AfterValidator(_readable)]
    model: ModelName | None = None
    parent_id: UuidText | None = None


@router.post("/conversations/{conversation_id}/turns")
@profile(tags={"operation": "answer", "phase": "accept"})
async def chat_sse(
    request: Request,
    parts: PartsOf,
    person: Person,
    conversation: ConversationInPath,
    message: NewMessage,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """The message is accepted, and the answer to it streams: the first event names the turn.

    With `Accept: application/json` the answer is 202 with the address of the stream instead.
    """
    key = checked_idempotency_key(idempotency_key)
    accepted = await parts.chat.accept_turn(
        person,
        NewTurn(
            conversation_id=conversation,
            text=message.text,
            model=message.model,
            parent_id=message.parent_id,
            idempotency_key=key,
        ),
    )
    tag(turn_id=accepted.id, conversation_id=accepted.conversation_id, model=accepted.model)
    if wants_json(request):
        return JSONResponse({"turn_id": accepted.id, "events_url": f"/api/turns/{accepted.id}/events"}, status_code=202)
    return EventStream(generate_stream_chunks(follow_turn(parts.followable, person, accepted)))


@router.get("/turns/{turn_id}")
async def read_turn(parts: PartsOf, person: Person, turn: TurnInPath) -> Turn:
    return await parts.chat.turn(person, turn)


@router.get("/turns/{turn_id}/events")
async def follow_events(
    parts: PartsOf, person: Person, turn: TurnInPath, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """The turn's events: all of them, or those after `Last-Event-ID`."""
    resume_after = checked_last_event_id(last_event_id)
    snapshot = await parts.chat.turn(person, turn)
    tag(turn_id=snapshot.id, conversation_id=snapshot.conversation_id, model=snapshot.model)
    events = follow_turn(parts.followable, person, snapshot, resume_after=resume_after)
    return EventStream(generate_stream_chunks(events))


@router.post("/turns/{turn_id}/stop")
async def stop_turn(parts: PartsOf, person: Person, turn: TurnInPath) -> Turn:
    return await parts.chat.stop_turn(person, turn)


def wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/event-stream" not in accept


def checked_idempotency_key(key: str | None) -> str | None:
    """Raises:
    Problem: 422, it is empty, too long or not printable.
    """
    if key is None or (0 < len(key) <= MAX_IDEMPOTENCY_KEY_CHARS and key.isprintable()):
        return key
    sentence = f"A key has 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable characters."
    errors = [{"field": "Idempotency-Key", "message": sentence}]
    raise Problem(422, "invalid_request", f"Idempotency-Key: {sentence}", errors=errors)


def checked_last_event_id(text: str | None) -> EntryId | None:
    """Raises:
    Problem: 422, it is no id that a stream of ours has sent.
    """
    if not text:
        return None
    try:
        return parse_stream_id(text)
    except ValueError as error:
        sentence = str(error)
        errors = [{"field": "Last-Event-ID", "message": sentence}]
        raise Problem(422, "invalid_request", f"Last-Event-ID: {sentence}", errors=errors) from error
