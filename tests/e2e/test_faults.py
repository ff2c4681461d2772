"""What breaks in the middle of an answer, and what a person sees of it: the whole text, one row in the ledger a call.

| fault | test |
|---|---|
| a process is killed, or told to end | here, each of the five; `test_lost_processes` for the details of a take-over |
| Redis or PostgreSQL is restarted | here; away, flushed: `test_outages` |
| the provider answers garbage, hangs, cuts | `test_provider_failures`, `test_openai_api` |
| tracking is away for a while | `test_health`, `test_outages` |
| a client hangs up | `test_chat_stream`, `test_openai_api` |
| a client never reads | here, and the gateway's own `test_event_stream` |
| a client reconnects through another gateway | `test_chat_stream` |
"""

import asyncio
import signal
import socket
from urllib.parse import urlsplit

import pytest

from e2e.hopline import Hopline
from e2e.person import Person
from local.process_table import SERVICES
from parts.event_stream import TurnReader
from parts.plans import Gate, says_in_two_parts
from parts.waiting import until

BEFORE, AFTER = "What was said before,", " and what came after."
ENDS_WITHIN_S = 30.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
@pytest.mark.parametrize("name", SERVICES)
async def test_a_process_that_ends_in_mid_answer_costs_nobody_a_word(
    hopline: Hopline, ada: Person, prompt: str, name: str, number: signal.Signals
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts(BEFORE, gate, AFTER))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        reader = await turn.read_until(lambda r: r.text == BEFORE)
        try:
            await asyncio.to_thread(hopline.stack.kill, name, number)
            await until(lambda: not hopline.stack.is_running(name), f"{name} has ended", timeout_s=ENDS_WITHIN_S)
        finally:
            await hopline.bring_back(name)
        gate.open()
        if name != "gateway":
            await turn.read_to_end()
    if name == "gateway":
        await read_on(ada, reader)
    await assert_whole(hopline, ada, conversation, prompt, reader)


@pytest.mark.parametrize("name", ["valkey", "postgres"])
async def test_a_database_that_is_restarted_in_mid_answer_costs_nobody_a_word(
    hopline: Hopline, ada: Person, prompt: str, name: str
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts(BEFORE, gate, AFTER))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        reader = await turn.read_until(lambda r: r.text == BEFORE)
        async with hopline.without(name, kill=name == "valkey"):
            pass
        gate.open()
        await turn.read_to_end()
    await assert_whole(hopline, ada, conversation, prompt, reader)


async def test_a_client_that_never_reads_is_in_nobodys_way(
    hopline: Hopline, ada: Person, ada_key: str, prompt: str
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts(BEFORE, gate, AFTER))
    conversation = await ada.new_conversation()
    turn = await ada.submit(conversation, prompt)
    address = urlsplit(hopline.url)
    with socket.create_connection((address.hostname, address.port)) as deaf:
        request = f"GET /api/turns/{turn}/events HTTP/1.1\r\nHost: {address.netloc}\r\n"
        deaf.sendall(f"{request}Authorization: Bearer {ada_key}\r\n\r\n".encode())
        async with ada.follow(turn) as reading:
            await reading.read_until(lambda r: r.text == BEFORE)
            gate.open()
            reader = await reading.read_to_end()
    await assert_whole(hopline, ada, conversation, prompt, reader)


async def read_on(person: Person, reader: TurnReader) -> None:
    """As the page does when its stream has broken: with what it has, after the last event that it has."""
    assert reader.turn is not None
    async with person.follow(reader.turn["turn_id"], reader=reader, last_event_id=reader.last_event_id) as again:
        await again.read_to_end()


async def assert_whole(hopline: Hopline, person: Person, conversation: str, prompt: str, reader: TurnReader) -> None:
    """The reader has every word, so has the database, and each call that the provider served is counted once."""
    assert reader.text == BEFORE + AFTER
    assert reader.turn is not None
    ended = await person.turn(reader.turn["turn_id"])
    assert (ended["state"], ended["text"]) == ("complete", BEFORE + AFTER)
    served = len(hopline.provider.calls_for(prompt))
    usage = await person.counted(conversation, served, timeout_s=45)
    assert usage["total"]["calls"] == served
