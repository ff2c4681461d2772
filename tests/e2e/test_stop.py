"""The stop button: what was said so far stays, and nothing more comes."""

import asyncio

from e2e.hopline import Hopline
from e2e.person import Person
from parts.plans import Gate, Hang, Say, Wait, plan, says_in_two_parts
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until


async def test_a_stopped_answer_keeps_what_was_said_and_the_stream_ends(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    provider.on(prompt, plan(Say("As far as this"), Hang()))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "As far as this")
        assert turn.reader.turn is not None
        response = await ada.stop(turn.reader.turn["turn_id"])
        answer = await turn.read_to_end()
    assert response.status_code == 200
    assert answer.end is not None
    assert answer.end.data["state"] == "stopped"
    ended = await ada.ended_turn(turn.reader.turn["turn_id"])
    assert (ended["state"], ended["text"]) == ("stopped", "As far as this")
    assert await ada.messages(conversation) == [("user", prompt), ("assistant", "As far as this")]


async def test_the_provider_is_told_to_stop_too(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    provider.on(prompt, plan(Say("Well"), Hang()))
    turn_id = await ada.submit(await ada.new_conversation(), prompt)
    await until(lambda: any(call.text == "Well" for call in provider.calls_for(prompt)), "the provider talks")
    await ada.stop(turn_id)
    [call] = provider.calls_for(prompt)
    await until(lambda: call.outcome == "abandoned", "the provider's connection is closed")


async def test_stopping_twice_and_stopping_what_has_ended_change_nothing(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    answer = await ada.answer(await ada.new_conversation(), prompt)
    assert answer.turn is not None
    before = await ada.turn(answer.turn["turn_id"])
    responses = [await ada.stop(answer.turn["turn_id"]) for _ in range(2)]
    assert [response.status_code for response in responses] == [200, 200]
    assert await ada.turn(answer.turn["turn_id"]) == before


async def test_a_turn_that_no_worker_has_taken_can_be_stopped(hopline: Hopline, ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    async with hopline.without("chat-worker"):
        turn_id = await ada.submit(conversation, prompt)
        await ada.stop(turn_id)
    ended = await ada.ended_turn(turn_id)
    assert (ended["state"], ended["text"]) == ("stopped", "")
    assert hopline.provider.calls_for(prompt) == []


async def test_a_stop_that_loses_the_race_with_the_end_leaves_one_end(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("Nearly", gate, " done"))
    async with ada.ask(await ada.new_conversation(), prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Nearly")
        assert turn.reader.turn is not None
        gate.open()
        stopping = asyncio.create_task(ada.stop(turn.reader.turn["turn_id"]))
        answer = await turn.read_to_end()
        await stopping
    ended = await ada.ended_turn(turn.reader.turn["turn_id"])
    assert answer.end is not None
    assert (ended["state"], ended["text"]) == (answer.end.data["state"], answer.text)


async def test_a_stopped_call_is_counted_as_an_estimate(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    gate = Gate()
    provider.on(prompt, plan(Say("Some words were paid for"), Wait(gate)))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Some words were paid for")
        assert turn.reader.turn is not None
        await ada.stop(turn.reader.turn["turn_id"])
        await turn.read_to_end()
    usage = await ada.counted(conversation, 1)
    ended = await ada.turn(turn.reader.turn["turn_id"])
    assert usage["total"]["completion_tokens"] > 0
    assert ended["usage"]["source"] == "estimated"
