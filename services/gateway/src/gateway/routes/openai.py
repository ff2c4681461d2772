"""`/v1`: what OpenAI's clients speak. The person's turns, ledger and traces are those of the page."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from gateway.complete_chat import Completion
from gateway.errors import UnknownModel
from gateway.event_stream import EventStream
from gateway.hang_up import CallerHungUp, while_caller_waits
from gateway.openai_answer import models_of
from gateway.openai_errors import InvalidParameter
from gateway.openai_request import ChatCompletionRequest
from gateway.parts import PartsOf, Person
from gateway.routes.turns import checked_idempotency_key
from wire.contracts.chat import MAX_MESSAGE_CHARS, NewTurn
from wire.telemetry.spans import tag

CLIENT_CLOSED_REQUEST = 499

router = APIRouter(prefix="/v1")


@router.get("/models")
async def list_models(parts: PartsOf, person: Person) -> Response:
    return JSONResponse({"object": "list", "data": models_of(await parts.chat.models(person))})


@router.get("/models/{model:path}")
async def retrieve_model(parts: PartsOf, person: Person, model: str) -> Response:
    for known in models_of(await parts.chat.models(person)):
        if known["id"] == model:
            return JSONResponse(known)
    raise UnknownModel(model)


@router.post("/chat/completions")
async def chat_completions(
    request: Request,
    parts: PartsOf,
    person: Person,
    body: ChatCompletionRequest,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    if len(body.text) > MAX_MESSAGE_CHARS:
        raise InvalidParameter(
            f"The last user message is longer than {MAX_MESSAGE_CHARS:,} characters.",
            param="messages",
            code="string_above_max_length",
        )
    key = checked_idempotency_key(idempotency_key)
    new = NewTurn(text=body.text, model=body.model, idempotency_key=key, completion=body.for_provider())
    turn = await parts.chat.accept_turn(person, new)
    tag(turn_id=turn.id, conversation_id=turn.conversation_id, model=turn.model)
    call = Completion(parts.followable, person, turn, idempotency_key=key, run_errand=parts.run_errand)
    try:
        if not body.stream:
            return JSONResponse(await while_caller_waits(request.receive, call.whole()))
        first = await while_caller_waits(request.receive, call.first_words())
    except CallerHungUp:
        call.hang_up()
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return EventStream(call.stream(first, with_usage=body.includes_usage), on_end=call.settle)
