"""What people do with their conversations, and that a stranger can't."""

from typing import Any

import pytest

from chat.accept_turn import Accepting, accept_turn
from chat.claim_turn import claim_turn
from chat.conversations import (
    change_conversation,
    create_conversation,
    delete_conversation,
    list_conversations,
    read_conversation,
)
from chat.process_chat_message import Answering, process_chat_message
from chat.read_turn import read_turn
from parts.plans import Reason, Say, plan, says
from parts.scripted_provider import ScriptedProvider
from wire.contracts.chat import CompletionRequest, Conversation, ConversationChange, NewConversation, NewTurn
from wire.contracts.jobs import RECORD_USAGE, TRACK_MODEL_SWITCH
from wire.database import Database
from wire.ids import ConversationId, PersonId, TurnId, new_id
from wire.problems import NotFound, Problem
from wire.redis_keys import turn_stream


@pytest.fixture
def create(accepting: Accepting, owner: PersonId) -> Any:
    async def create(**fields: Any) -> Conversation:
        return await create_conversation(accepting.database, accepting.catalogue, owner, NewConversation(**fields))

    return create


async def test_a_new_conversation_has_the_default_model_and_no_title(create: Any) -> None:
    made = await create()
    assert (made.model, made.title) == ("alpha", "")
    assert made.created_at == made.updated_at


async def test_a_new_conversation_takes_a_model_that_is_on_offer(create: Any) -> None:
    assert (await create(model="beta")).model == "beta"
    with pytest.raises(Problem) as raised:
        await create(model="no-such")
    assert (raised.value.status, raised.value.errors[0]["field"]) == (422, "model")


async def test_the_list_has_the_latest_first_and_goes_on_page_by_page(
    database: Database, create: Any, owner: PersonId, stranger: PersonId
) -> None:
    made = [(await create()).id for _ in range(5)]
    first = await list_conversations(database, owner, limit=2, before=None)
    before = first.conversations[-1].updated_at
    second = await list_conversations(database, owner, limit=2, before=before)
    third = await list_conversations(database, owner, limit=2, before=second.conversations[-1].updated_at)
    assert [c.id for page in (first, second, third) for c in page.conversations] == made[::-1]
    assert (first.next, third.next) == (before.isoformat(), None)
    assert (await list_conversations(database, stranger, limit=2, before=None)).conversations == []


async def test_a_completions_conversation_is_not_in_the_list(
    database: Database, accepting: Accepting, owner: PersonId
) -> None:
    request = CompletionRequest(messages=[{"role": "user", "content": "Hi"}])
    await accept_turn(accepting, owner, NewTurn(text="Hi", completion=request))
    assert (await list_conversations(database, owner, limit=10, before=None)).conversations == []


async def test_a_conversation_is_read_with_its_messages_and_their_turns(
    database: Database, answering: Answering, provider: ScriptedProvider, ask: Any, owner: PersonId, prompt: str
) -> None:
    provider.on(prompt, says("So it is"))
    accepted = await ask(prompt)
    await process_chat_message(answering, TurnId(accepted.id))
    read = await read_conversation(database, owner, ConversationId(accepted.conversation_id))
    assert [(m.role, m.text, m.model, m.parent_id) for m in read.messages] == [
        ("user", prompt, None, None),
        ("assistant", "So it is", "alpha", accepted.person_message_id),
    ]
    [question, answer] = read.messages
    assert question.turn is None
    assert answer.turn is not None
    assert (answer.turn.id, answer.turn.state) == (accepted.id, "complete")
    assert read.title == prompt


async def test_an_answer_under_way_comes_last_with_its_text_so_far(
    database: Database, answering: Answering, ask: Any, rows: Any, owner: PersonId
) -> None:
    accepted = await ask("Hi")
    await claim_turn(database, answering.catalogue, TurnId(accepted.id), "alive")
    await rows.change("UPDATE turns SET partial_text = 'Half an' WHERE id = :id", id=accepted.id)
    read = await read_conversation(database, owner, ConversationId(accepted.conversation_id))
    answer = read.messages[-1]
    assert (answer.id, answer.role, answer.text, answer.parent_id) == (
        accepted.id,
        "assistant",
        "Half an",
        accepted.person_message_id,
    )
    assert answer.turn is not None
    assert answer.turn.state == "running"
    turn = await read_turn(database, owner, TurnId(accepted.id))
    assert (turn.state, turn.text, turn.place) == ("running", "Half an", None)


async def test_a_turn_is_read_whole_once_it_has_ended(
    database: Database, answering: Answering, provider: ScriptedProvider, ask: Any, owner: PersonId, prompt: str
) -> None:
    provider.on(prompt, plan(Reason("Hm"), Say("So it is")))
    accepted = await ask(prompt)
    await process_chat_message(answering, TurnId(accepted.id))
    turn = await read_turn(database, owner, TurnId(accepted.id))
    assert (turn.text, turn.chunks, turn.finish_reason) == (
        "So it is",
        [{"delta": {"reasoning_content": "Hm"}}],
        "stop",
    )
    assert turn.usage is not None
    assert turn.usage.total_tokens == turn.usage.prompt_tokens + 4


async def change(accepting: Accepting, owner: PersonId, conversation: str, **fields: Any) -> Conversation:
    return await change_conversation(
        accepting.database,
        accepting.catalogue,
        owner,
        ConversationId(conversation),
        ConversationChange(**fields),
    )


async def test_a_title_is_changed_without_the_space_around_it(
    accepting: Accepting, create: Any, owner: PersonId
) -> None:
    made = await create()
    changed = await change(accepting, owner, made.id, title="  On bees ")
    assert (changed.title, changed.model) == ("On bees", "alpha")
    assert changed.updated_at > made.updated_at


@pytest.mark.parametrize("title", [" \t", "a\x00b", "half \ud83d"])
async def test_a_title_that_can_not_be_kept_is_refused(
    accepting: Accepting, create: Any, owner: PersonId, title: str
) -> None:
    made = await create()
    new = ConversationChange(title="x").model_copy(update={"title": title})
    with pytest.raises(Problem) as raised:
        await change_conversation(accepting.database, accepting.catalogue, owner, ConversationId(made.id), new)
    assert (raised.value.status, raised.value.errors[0]["field"]) == (422, "title")


async def test_the_start_of_a_switch_goes_to_the_outbox_only_when_tracking_could_not_be_told(
    accepting: Accepting, create: Any, rows: Any, owner: PersonId
) -> None:
    made = await create()
    await change(accepting, owner, made.id, model="beta", switch_id=new_id())
    assert await rows.outbox_of(made.id) == []
    switch_id = new_id()
    await change(accepting, owner, made.id, model="alpha", switch_id=switch_id, record_start=True)
    [event] = await rows.outbox_of(made.id)
    assert (event.event_id, event.job) == (f"{switch_id}:started", TRACK_MODEL_SWITCH)
    assert (event.payload["from_model"], event.payload["to_model"]) == ("beta", "alpha")


async def test_deleting_removes_every_text_and_keeps_the_account(
    database: Database,
    answering: Answering,
    provider: ScriptedProvider,
    ask: Any,
    rows: Any,
    redis: Any,
    owner: PersonId,
    prompt: str,
) -> None:
    provider.on(prompt, says("So it is"))
    ended = await ask(prompt)
    await process_chat_message(answering, TurnId(ended.id))
    running = await ask("Private", conversation_id=ended.conversation_id)
    await claim_turn(database, answering.catalogue, TurnId(running.id), "alive")
    await rows.change("UPDATE turns SET partial_text = 'eight ch' WHERE id = :id", id=running.id)
    await redis.xadd(turn_stream(TurnId(running.id)), {"e": "delta", "d": "{}"})
    conversation = ConversationId(ended.conversation_id)
    await delete_conversation(database, redis, owner, conversation)
    with pytest.raises(NotFound):
        await read_conversation(database, owner, conversation)
    assert await rows.messages(conversation) == []
    assert [call.state for call in await rows.calls(ended.id)] == ["complete"]
    assert [(call.state, call.output_tokens) for call in await rows.calls(running.id)] == [("aborted", 2)]
    assert {event.job for event in await rows.outbox_of(conversation)} == {RECORD_USAGE}
    assert len(await rows.outbox_of(conversation)) == 2
    assert await redis.exists(turn_stream(TurnId(ended.id)), turn_stream(TurnId(running.id))) == 0


async def test_without_redis_a_conversation_is_deleted_all_the_same(
    database: Database, create: Any, redis_away: Any, owner: PersonId
) -> None:
    made = await create()
    await delete_conversation(database, redis_away, owner, ConversationId(made.id))
    with pytest.raises(NotFound):
        await read_conversation(database, owner, ConversationId(made.id))


@pytest.mark.parametrize("whose", ["unknown", "a stranger's"])
@pytest.mark.parametrize("act", ["read", "rename", "switch", "delete"])
async def test_a_strangers_conversation_answers_as_an_unknown_one_to_everything(
    accepting: Accepting, create: Any, redis: Any, owner: PersonId, stranger: PersonId, whose: str, act: str
) -> None:
    made = await create()
    conversation = ConversationId(new_id() if whose == "unknown" else made.id)
    acts = {
        "read": lambda: read_conversation(accepting.database, stranger, conversation),
        "rename": lambda: change(accepting, stranger, conversation, title="Mine"),
        "switch": lambda: change(accepting, stranger, conversation, model="beta", switch_id=new_id()),
        "delete": lambda: delete_conversation(accepting.database, redis, stranger, conversation),
    }
    with pytest.raises(NotFound) as raised:
        await acts[act]()
    assert raised.value.detail == "There is no such conversation."
    assert await read_conversation(accepting.database, owner, ConversationId(made.id)) is not None


@pytest.mark.parametrize("whose", ["unknown", "a stranger's"])
async def test_a_strangers_turn_answers_as_an_unknown_one(
    database: Database, ask: Any, stranger: PersonId, whose: str
) -> None:
    accepted = await ask("Hi")
    with pytest.raises(NotFound) as raised:
        await read_turn(database, stranger, TurnId(new_id() if whose == "unknown" else accepted.id))
    assert raised.value.detail == "There is no such turn."
