"""Processes that end in the middle of an answer, and readers who see nothing of it but a pause."""

import asyncio
import signal

import pytest

from e2e.hopline import Hopline
from e2e.person import OpenTurn, Person
from parts.plans import Gate, says, says_in_two_parts
from parts.waiting import until

TAKE_OVER_S = 20.0


async def test_a_worker_killed_in_mid_answer_is_replaced_and_the_text_is_right(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("The first worker said", gate, " and was gone"), says(" then more"))
    if "chat-worker-2" not in hopline.stack.ports:
        hopline.stack.add_copy("chat-worker-2", of="chat-worker")
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "The first worker said")
        await hopline.bring_back("chat-worker-2")
        await asyncio.to_thread(hopline.stack.kill, "chat-worker")
        try:
            answer = await turn.read_to_end()
        finally:
            await hopline.bring_back("chat-worker")
            await asyncio.to_thread(hopline.stack.stop, "chat-worker-2")
    await ada.assert_saved(conversation, answer)
    [restart] = answer.datas("restart")
    assert restart["reason"] == "worker_lost"
    assert answer.attempt == 2
    assert len(hopline.provider.calls_for(prompt)) == 2


async def test_both_calls_of_a_turn_that_was_taken_over_are_counted(hopline: Hopline, ada: Person, prompt: str) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Lost", gate, ""), says("Found"))
    conversation = await ada.new_conversation()
    turn = await ada.submit(conversation, prompt)
    await until(lambda: gate.arrivals, "the provider is in the middle")
    async with hopline.without("chat-worker", kill=True):
        pass
    ended = await ada.ended_turn(turn, timeout_s=TAKE_OVER_S)
    usage = await ada.counted(conversation, 2)
    assert (ended["state"], ended["attempt"]) == ("complete", 2)
    assert usage["total"]["calls"] == 2


async def test_a_worker_that_is_told_to_end_hands_its_turn_over(hopline: Hopline, ada: Person, prompt: str) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Handed", gate, " nothing"), says(" over"))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Handed")
        hopline.stack.kill("chat-worker", signal.SIGTERM)
        await until(lambda: not hopline.stack.is_running("chat-worker"), "the worker has ended", timeout_s=30)
        await hopline.bring_back("chat-worker")
        answer = await turn.read_to_end()
    await ada.assert_saved(conversation, answer)
    assert answer.end is not None
    assert answer.end.kind == "end"


async def test_a_turn_whose_workers_all_die_is_given_up_after_three_attempts(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Deadly", gate, ""))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        for attempt in (1, 2, 3):
            await until(lambda reached=attempt: gate.arrivals >= reached, f"attempt {attempt}", timeout_s=TAKE_OVER_S)
            async with hopline.without("chat-worker", kill=True):
                pass
        answer = await turn.read_to_end()
    assert answer.turn is not None
    ended = await ada.turn(answer.turn["turn_id"])
    assert answer.end is not None
    assert (answer.end.kind, answer.end.data["retryable"]) == ("error", True)
    assert (ended["state"], ended["text"]) == ("failed", answer.text)
    assert len(hopline.provider.calls_for(prompt)) == 3
    assert (await ada.counted(conversation, 3))["total"]["calls"] == 3


async def test_a_reader_reads_on_over_a_restart_of_the_gateway(hopline: Hopline, ada: Person, prompt: str) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Before,", gate, " after"))
    async with ada.ask(await ada.new_conversation(), prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Before,")
        reader = turn.reader
        restarting = asyncio.create_task(hopline.restart("gateway"))
        await closed(turn)
        await restarting
    assert reader.turn is not None
    async with ada.follow(reader.turn["turn_id"], reader=reader, last_event_id=reader.last_event_id) as again:
        gate.open()
        assert (await again.read_to_end()).text == "Before, after"


async def closed(turn: OpenTurn) -> None:
    """The server has closed the stream, without its end."""
    with pytest.raises(AssertionError):
        await turn.read_until(lambda reader: reader.end)
