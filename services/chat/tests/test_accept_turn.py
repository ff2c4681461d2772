"""A message is accepted once, where it belongs, or refused by the field's name."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from chat.accept_turn import Accepting, accept_turn
from chat.conversations import change_conversation, create_conversation, read_conversation
from chat.process_chat_message import Answering, process_chat_message
from chat.stop_turn import stop_turn
from parts.plans import says
from parts.scripted_provider import ScriptedProvider
from wire.contracts.chat import AcceptedTurn, CompletionRequest, ConversationChange, NewConversation, NewTurn
from wire.contracts.jobs import REPLY, TRACK_MODEL_SWITCH
from wire.ids import ConversationId, PersonId, TurnId, new_id
from wire.problems import Problem
from wire.queue import Queue
from wire.redis_keys import CHAT_QUEUE


async def refusal(accepting: Accepting, owner: PersonId, new: NewTurn) -> tuple[int, str, str]:
    with pytest.raises(Problem) as raised:
        await accept_turn(accepting, owner, new)
    return raised.value.status, raised.value.code, raised.value.detail


async def fields_refused(accepting: Accepting, owner: PersonId, new: NewTurn) -> list[str]:
    with pytest.raises(Problem) as raised:
        await accept_turn(accepting, owner, new)
    assert raised.value.status == 422
    return [error["field"] for error in raised.value.errors]


@pytest.fixture
async def conversation(accepting: Accepting, owner: PersonId) -> str:
    made = await create_conversation(accepting.database, accepting.catalogue, owner, NewConversation())
    return made.id


@pytest.fixture
def answer(answering: Answering) -> Any:
    """Has a turn answered."""

    async def answer(turn: AcceptedTurn) -> None:
        await process_chat_message(answering, TurnId(turn.id))

    return answer


def completion(text: str) -> NewTurn:
    messages = [{"role": "user", "content": text}]
    return NewTurn(text=text, model="beta", completion=CompletionRequest(messages=messages, parameters={"seed": 1}))


async def test_a_message_and_its_queued_turn_are_written_and_a_worker_is_told(
    ask: Any, rows: Any, keys: Any, conversation: str, owner: PersonId, prompt: str
) -> None:
    accepted = await ask(prompt, conversation_id=conversation)
    [message] = await rows.messages(conversation)
    row = await rows.turn(accepted.id)
    assert (message.role, message.text, message.parent_id) == ("user", prompt, None)
    assert (row.state, row.attempt, row.model, row.origin, row.owner_id) == ("queued", 0, "alpha", "page", owner)
    assert (row.conversation_id, row.person_message_id) == (conversation, message.id)
    assert (accepted.state, accepted.text, accepted.replayed) == ("queued", "", False)
    assert [name for name, _ in await keys.jobs(CHAT_QUEUE, turn_id=accepted.id)] == [REPLY]


async def test_a_conversation_is_titled_after_the_first_line_of_its_first_message(
    ask: Any, accepting: Accepting, owner: PersonId, conversation: str
) -> None:
    await ask("\n  " + "word " * 30 + "\nsecond line", conversation_id=conversation)
    read = await read_conversation(accepting.database, owner, ConversationId(conversation))
    assert read.title == "word " * 11 + "word…"


async def test_a_completion_makes_a_conversation_of_its_own_and_keeps_the_request_until_the_end(
    accepting: Accepting, owner: PersonId, rows: Any, prompt: str
) -> None:
    accepted = await accept_turn(accepting, owner, completion(prompt))
    row = await rows.turn(accepted.id)
    assert (row.origin, row.model) == ("v1", "beta")
    assert row.completion == {"messages": [{"role": "user", "content": prompt}], "parameters": {"seed": 1}}


async def test_without_redis_a_turn_is_accepted_all_the_same(
    accepting: Accepting, owner: PersonId, conversation: str, queue_away: Queue, rows: Any, prompt: str
) -> None:
    new = NewTurn(conversation_id=conversation, text=prompt)
    accepted = await accept_turn(replace(accepting, queue=queue_away), owner, new)
    assert (await rows.turn(accepted.id)).state == "queued"


async def test_the_same_request_under_one_key_is_the_same_turn(
    ask: Any, keys: Any, rows: Any, conversation: str, prompt: str
) -> None:
    first = await ask(prompt, conversation_id=conversation, idempotency_key="one")
    second = await ask(prompt, conversation_id=conversation, idempotency_key="one")
    assert second == first.model_copy(update={"replayed": True, "place": None})
    assert len(await rows.messages(conversation)) == 1
    assert len(await keys.jobs(CHAT_QUEUE, turn_id=first.id)) == 1


async def test_a_replay_has_the_answer_once_there_is_one(
    ask: Any, answer: Any, provider: ScriptedProvider, conversation: str, prompt: str
) -> None:
    provider.on(prompt, says("So it is"))
    first = await ask(prompt, conversation_id=conversation, idempotency_key="one")
    await answer(first)
    again = await ask(prompt, conversation_id=conversation, idempotency_key="one")
    assert (again.id, again.replayed, again.state, again.text) == (first.id, True, "complete", "So it is")


@pytest.mark.parametrize("change", [{"text": "Something else"}, {"model": "beta"}])
async def test_another_request_under_the_same_key_is_a_conflict(
    accepting: Accepting, owner: PersonId, conversation: str, prompt: str, change: dict[str, Any]
) -> None:
    new = NewTurn(conversation_id=conversation, text=prompt, idempotency_key="one")
    await accept_turn(accepting, owner, new)
    status, code, _ = await refusal(accepting, owner, new.model_copy(update=change))
    assert (status, code) == (409, "idempotency_conflict")


async def test_a_key_belongs_to_a_person(
    ask: Any, accepting: Accepting, stranger: PersonId, conversation: str, prompt: str
) -> None:
    mine = await ask(prompt, conversation_id=conversation, idempotency_key="one")
    made = await create_conversation(accepting.database, accepting.catalogue, stranger, NewConversation())
    theirs = await accept_turn(
        accepting, stranger, NewTurn(conversation_id=made.id, text=prompt, idempotency_key="one")
    )
    assert theirs.id != mine.id
    assert theirs.replayed is False


async def test_many_submits_at_once_under_one_key_are_one_turn(
    ask: Any, rows: Any, conversation: str, prompt: str
) -> None:
    accepted = await asyncio.gather(
        *(ask(prompt, conversation_id=conversation, idempotency_key="one") for _ in range(6))
    )
    assert len({turn.id for turn in accepted}) == 1
    assert sorted(turn.replayed for turn in accepted) == [False] + [True] * 5
    assert len(await rows.messages(conversation)) == 1


async def test_many_completions_at_once_under_one_key_are_one_turn(
    accepting: Accepting, owner: PersonId, prompt: str
) -> None:
    new = completion(prompt).model_copy(update={"idempotency_key": "one"})
    accepted = await asyncio.gather(*(accept_turn(accepting, owner, new) for _ in range(6)))
    assert len({(turn.id, turn.conversation_id) for turn in accepted}) == 1
    assert sorted(turn.replayed for turn in accepted) == [False] + [True] * 5


async def test_many_messages_at_once_without_a_key_are_one_turn_and_refusals(
    accepting: Accepting, owner: PersonId, conversation: str, rows: Any, prompt: str
) -> None:
    new = NewTurn(conversation_id=conversation, text=prompt)
    results = await asyncio.gather(*(accept_turn(accepting, owner, new) for _ in range(4)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, Problem)]
    assert [problem.code for problem in refused] == ["turn_in_progress"] * 3
    assert len(await rows.messages(conversation)) == 1


async def test_a_message_follows_the_newest_answer(
    ask: Any, answer: Any, rows: Any, conversation: str, prompt: str
) -> None:
    first = await ask(prompt, conversation_id=conversation)
    await answer(first)
    await ask("And then?", conversation_id=conversation)
    [_, _, third] = await rows.messages(conversation)
    assert (third.text, third.parent_id) == ("And then?", first.id)


async def test_a_message_can_follow_an_earlier_answer_while_another_is_under_way(
    ask: Any, answer: Any, rows: Any, conversation: str, prompt: str
) -> None:
    first = await ask(prompt, conversation_id=conversation)
    await answer(first)
    await ask("One way", conversation_id=conversation)
    await ask("Another way", conversation_id=conversation, parent_id=first.id)
    assert [m.parent_id for m in await rows.messages(conversation)] == [
        None,
        first.person_message_id,
        first.id,
        first.id,
    ]


async def test_without_a_parent_a_message_waits_for_the_answer_under_way(
    ask: Any, accepting: Accepting, owner: PersonId, conversation: str, prompt: str
) -> None:
    await ask(prompt, conversation_id=conversation)
    status, code, _ = await refusal(accepting, owner, NewTurn(conversation_id=conversation, text="Next"))
    assert (status, code) == (409, "turn_in_progress")


@pytest.mark.parametrize("parent", ["unknown", "own question", "answer under way", "other conversation"])
async def test_a_parent_is_an_answer_of_the_same_conversation(
    ask: Any, accepting: Accepting, answer: Any, owner: PersonId, conversation: str, prompt: str, parent: str
) -> None:
    accepted = await ask(prompt, conversation_id=conversation)
    elsewhere = await ask(prompt)
    await answer(elsewhere)
    parents = {
        "unknown": new_id(),
        "own question": accepted.person_message_id,
        "answer under way": accepted.id,
        "other conversation": elsewhere.id,
    }
    new = NewTurn(conversation_id=conversation, text="Next", parent_id=parents[parent])
    assert await refusal(accepting, owner, new) == (
        404,
        "not_found",
        "There is no such answer to follow in this conversation.",
    )


@pytest.mark.parametrize("whose", ["unknown", "a stranger's"])
async def test_a_strangers_conversation_answers_as_an_unknown_one(
    accepting: Accepting, owner: PersonId, stranger: PersonId, whose: str
) -> None:
    made = await create_conversation(accepting.database, accepting.catalogue, stranger, NewConversation())
    new = NewTurn(conversation_id=new_id() if whose == "unknown" else made.id, text="Hi")
    assert await refusal(accepting, owner, new) == (404, "not_found", "There is no such conversation.")


@pytest.mark.parametrize("text", ["", " \n\t", "a\x00b", "half \ud83d"])
async def test_a_text_that_can_not_be_kept_is_refused_by_its_field(
    accepting: Accepting, owner: PersonId, conversation: str, rows: Any, text: str
) -> None:
    new = NewTurn(conversation_id=conversation, text="").model_copy(update={"text": text})
    assert await fields_refused(accepting, owner, new) == ["text"]
    assert await rows.messages(conversation) == []


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("messages", [{"role": "user", "content": "a\x00b"}]),
        ("messages", [{"role": "user", "content": "half \udc00"}]),
        ("messages", [{"role": "user", "na\x00me": "x"}]),
        ("parameters", {"seed": 10**30}),
        ("parameters", {"temperature": float("nan")}),
        ("parameters", {"top_p": float("inf")}),
    ],
)
async def test_a_completion_that_can_not_be_kept_is_refused_by_its_field(
    accepting: Accepting, owner: PersonId, part: str, value: Any
) -> None:
    new = completion("Hi")
    assert new.completion is not None
    changed = new.completion.model_copy(update={part: value})
    assert await fields_refused(accepting, owner, new.model_copy(update={"completion": changed})) == [part]


async def test_a_completion_that_is_nested_without_end_is_refused(accepting: Accepting, owner: PersonId) -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    new = completion("Hi")
    assert new.completion is not None
    changed = new.completion.model_copy(update={"messages": [{"role": "user", "content": deep}]})
    assert await fields_refused(accepting, owner, new.model_copy(update={"completion": changed})) == ["messages"]


async def test_a_text_that_only_speaks_of_nul_is_kept(
    accepting: Accepting, ask: Any, rows: Any, owner: PersonId, conversation: str
) -> None:
    await ask(r"What is \u0000?", conversation_id=conversation)
    assert (await rows.messages(conversation))[0].text == r"What is \u0000?"
    accepted = await accept_turn(accepting, owner, completion(r"What is \u0000?"))
    assert (await rows.turn(accepted.id)).completion["messages"][0]["content"] == r"What is \u0000?"


async def test_a_key_for_repeats_that_can_not_be_kept_is_refused(
    accepting: Accepting, owner: PersonId, conversation: str
) -> None:
    new = NewTurn(conversation_id=conversation, text="Hi", idempotency_key="a\x00b")
    assert await fields_refused(accepting, owner, new) == ["idempotency_key"]


async def test_astral_characters_are_kept_as_they_are(ask: Any, rows: Any, conversation: str) -> None:
    text = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001d518\U0010ffff \u2028\x85"
    await ask(text, conversation_id=conversation)
    assert (await rows.messages(conversation))[0].text == text


async def test_a_model_that_is_not_on_offer_is_refused_by_its_field(
    accepting: Accepting, owner: PersonId, conversation: str, rows: Any
) -> None:
    new = NewTurn(conversation_id=conversation, text="Hi", model="no-such")
    with pytest.raises(Problem) as raised:
        await accept_turn(accepting, owner, new)
    sentence = "There is no model named 'no-such' here."
    assert (raised.value.status, raised.value.code) == (422, "unknown_model")
    assert raised.value.errors == [{"field": "model", "message": sentence}]
    assert await rows.messages(conversation) == []


async def test_a_message_names_its_conversation(accepting: Accepting, owner: PersonId) -> None:
    assert await fields_refused(accepting, owner, NewTurn(text="Hi")) == ["conversation_id"]


async def switch_to(accepting: Accepting, owner: PersonId, conversation: str, model: str) -> str:
    """As the gateway does once tracking knows of it."""
    switch_id = new_id()
    change = ConversationChange(model=model, switch_id=switch_id)
    await change_conversation(accepting.database, accepting.catalogue, owner, ConversationId(conversation), change)
    return switch_id


async def test_a_switch_that_waits_is_completed_by_the_next_turn(
    accepting: Accepting, ask: Any, rows: Any, owner: PersonId, conversation: str, prompt: str
) -> None:
    switch_id = await switch_to(accepting, owner, conversation, "beta")
    accepted = await ask(prompt, conversation_id=conversation)
    row = await rows.turn(accepted.id)
    assert row.model == "beta"
    assert (row.switch["tracking_id"], row.switch["from_model"], row.switch["to_model"]) == (
        switch_id,
        "alpha",
        "beta",
    )


async def test_a_switch_whose_turn_was_stopped_in_the_queue_waits_for_the_next_one(
    accepting: Accepting, ask: Any, rows: Any, redis: Any, owner: PersonId, conversation: str, prompt: str
) -> None:
    switch_id = await switch_to(accepting, owner, conversation, "beta")
    stopped = await ask(prompt, conversation_id=conversation)
    await stop_turn(accepting.database, redis, owner, TurnId(stopped.id))
    accepted = await ask("Again", conversation_id=conversation)
    assert (await rows.turn(accepted.id)).switch["tracking_id"] == switch_id


async def test_a_message_that_names_another_model_switches_and_tracking_is_to_hear_of_its_start(
    ask: Any, answer: Any, rows: Any, owner: PersonId, conversation: str, prompt: str
) -> None:
    await answer(await ask(prompt, conversation_id=conversation))
    accepted = await ask("And you?", conversation_id=conversation, model="beta")
    switch = (await rows.turn(accepted.id)).switch
    assert (switch["from_model"], switch["to_model"], switch["owner_id"]) == ("alpha", "beta", owner)
    started = [event for event in await rows.outbox_of(conversation) if event.job == TRACK_MODEL_SWITCH]
    assert [(event.event_id, event.payload) for event in started] == [(f"{switch['tracking_id']}:started", switch)]


async def test_a_first_message_with_another_model_is_no_switch(
    ask: Any, rows: Any, conversation: str, prompt: str
) -> None:
    accepted = await ask(prompt, conversation_id=conversation, model="beta")
    row = await rows.turn(accepted.id)
    assert (row.model, row.switch) == ("beta", None)
    assert await rows.outbox_of(conversation) == []


async def test_the_next_message_goes_to_the_model_of_the_last(
    ask: Any, answer: Any, rows: Any, conversation: str, prompt: str
) -> None:
    await answer(await ask(prompt, conversation_id=conversation, model="beta"))
    accepted = await ask("And then?", conversation_id=conversation)
    row = await rows.turn(accepted.id)
    assert (row.model, row.switch) == ("beta", None)


async def test_queued_turns_have_a_place(empty_database: None, ask: Any) -> None:
    assert [(await ask("Hi")).place for _ in range(3)] == [0, 1, 2]
