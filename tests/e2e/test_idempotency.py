"""A message that is sent twice under one key is one message."""

import asyncio
from uuid import uuid4

from e2e.person import Person
from parts.plans import Gate, says, says_in_two_parts
from parts.scripted_provider import ScriptedProvider


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


async def test_the_same_message_again_is_the_same_turn_and_asks_nobody_again(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    provider.on(prompt, says("Once and for all"))
    conversation = await ada.new_conversation()
    headers = key()
    first = await ada.answer(conversation, prompt, headers=headers)
    again = await ada.answer(conversation, prompt, headers=headers)
    assert first.turn is not None
    assert again.turn is not None
    assert again.turn["turn_id"] == first.turn["turn_id"]
    assert again.text == "Once and for all"
    assert len(provider.calls_for(prompt)) == 1
    assert len(await ada.messages(conversation)) == 2


async def test_a_repeat_in_the_middle_of_the_answer_attaches_to_it(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("Half of", gate, " it"))
    conversation = await ada.new_conversation()
    headers = key()
    async with ada.ask(conversation, prompt, headers=headers) as first:
        await first.read_until(lambda reader: reader.text == "Half of")
        async with ada.ask(conversation, prompt, headers=headers) as again:
            await again.read_until(lambda reader: reader.text == "Half of")
            gate.open()
            assert (await again.read_to_end()).text == "Half of it"
    assert len(provider.calls_for(prompt)) == 1


async def test_two_submits_at_once_are_one_turn(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    headers = key()
    turns = await asyncio.gather(*(ada.submit(conversation, prompt, headers=headers) for _ in range(5)))
    await ada.ended_turn(turns[0])
    assert len(set(turns)) == 1
    assert len(provider.calls_for(prompt)) == 1


async def test_another_message_under_the_same_key_is_a_conflict(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    headers = key()
    await ada.answer(conversation, prompt, headers=headers)
    response = await ada.http.post(
        f"/api/conversations/{conversation}/turns", json={"text": f"{prompt} Or not?"}, headers=headers
    )
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert len(await ada.messages(conversation)) == 2


async def test_keys_of_two_people_are_two_keys(ada: Person, ben: Person, prompt: str) -> None:
    headers = key()
    turns = [await person.submit(await person.new_conversation(), prompt, headers=headers) for person in (ada, ben)]
    assert len(set(turns)) == 2


async def test_the_same_words_without_a_key_are_two_messages(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    for _ in range(2):
        await ada.answer(conversation, prompt)
    assert len(await ada.messages(conversation)) == 4
