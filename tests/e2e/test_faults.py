"""Every fault that Hopline is to stand, and the test that makes it. Here are those that no other file has.

| fault | a person sees | test |
|---|---|---|
| the provider answers garbage | a sentence, and the next answer is well | `test_provider_failures` |
| the provider hangs, before a word or after some | the same, with the text so far | `test_provider_failures` |
| the provider cuts the answer or refuses it | the same, with the text so far | `test_provider_failures` |
| the provider is down and comes back | a sentence, then an answer | `test_provider_failures` |
| tracking is down for a while | answers as ever; usage is a clear 503 | `test_without_tracking_the_chat_goes_on_…` |
| … and a switch is made meanwhile | it is made, and recorded later | `test_outages` |
| the ledger is told twice | one call | `test_a_call_that_the_ledger_is_told_of_twice_…` |
| Redis is down before an answer | it waits, then comes | `test_outages` |
| Redis is killed or stopped in mid-answer | the whole answer, on the stream that was open | `test_redis_restarted_…` |
| … and stays away to the end of it | the same | `test_an_answer_that_ends_without_redis_…` |
| Redis is flushed in mid-answer | the same | `test_outages`, `test_redis_flushed_…` |
| PostgreSQL is down before an answer | a clear 503 | `test_outages` |
| PostgreSQL is restarted in mid-answer | the whole answer, after a pause | `test_postgres_restarted_…` |
| … and is down when the answer ends | the same | `test_outages` |
| PostgreSQL refuses the text of an answer | a sentence, at once | `test_an_answer_that_the_database_refuses_…` |
| PostgreSQL refuses that the turn is complete | a sentence, and the text | `test_trace` |
| a process is killed or told to end in mid-answer | the whole answer; of the gateway's: it connects again | \
`test_a_process_that_ends_in_mid_answer_…` |
| all of them and both databases are killed at once | what was under way and what waited is answered | \
`test_a_power_cut_…` |
| … the chat worker, with another one there | the whole answer, after a pause | `test_lost_processes` |
| … the chat worker, three times in a row | a sentence, and the text so far | `test_lost_processes` |
| a client hangs up | its answer is kept; a `/v1` caller's is stopped | `test_chat_stream`, `test_openai_api` |
| … and connects again, to another gateway | what is new, and only that | `test_who_hangs_up_and_connects_again_…` |
| a client never reads | nothing: others read on, and the gateway can end | `test_a_client_that_never_reads_…` |
| Sentry is down | nothing | `test_outages` |

In each of them the turn ends, and the ledger has one row for each call that the provider served.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
import redis.asyncio as redis

from e2e.faults import is_told_again, messages_are_refused
from e2e.hopline import Hopline
from e2e.person import OpenTurn, Person
from local.process_table import DATABASES, SERVICES
from parts.event_stream import TurnReader
from parts.plans import Gate, Say, Wait, plan, says, says_in_two_parts
from parts.waiting import until

CATCH_UP_S = 40.0
"""What the ledger is given to hear of a call again that it was not told of."""
LARGE = 200 * 20_000
"""More characters than the sockets between a gateway and its reader hold."""

BOTH_WAYS = pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])


@asynccontextmanager
async def in_mid_answer(hopline: Hopline, person: Person, prompt: str) -> AsyncGenerator[tuple[OpenTurn, Gate, str]]:
    """An answer of which the reader has `Before,` while the provider waits at the gate to say ` after`."""
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Before,", gate, " after"))
    conversation = await person.new_conversation()
    async with person.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Before,")
        yield turn, gate, conversation


async def assert_well(hopline: Hopline, person: Person, prompt: str, conversation: str, answer: TurnReader) -> None:
    """The reader has the provider's words, they are kept, the turn has ended, and its calls are counted once each."""
    assert answer.text == "Before, after"
    assert answer.text == hopline.provider.calls_for(prompt)[-1].text
    assert (await person.ended_turn(turn_of(answer)))["state"] == "complete"
    await person.assert_saved(conversation, answer)
    await assert_counted_once(hopline, person, conversation, prompt)


async def assert_counted_once(hopline: Hopline, person: Person, conversation: str, *prompts: str) -> None:
    """The ledger has as many calls of the conversation as the provider's own log."""
    served = sum(len(hopline.provider.calls_for(prompt)) for prompt in prompts)
    usage = await person.counted(conversation, served, timeout_s=CATCH_UP_S)
    assert usage["total"]["calls"] == served


def turn_of(reader: TurnReader) -> str:
    assert reader.turn is not None
    return str(reader.turn["turn_id"])


async def read_to_end_or_connect_again(person: Person, turn: OpenTurn) -> TurnReader:
    """As a page does: a stream that breaks off is gone on with after the last event that came."""
    reader = turn.reader
    try:
        return await turn.read_to_end()
    except httpx.TransportError:
        pass
    except AssertionError as error:
        if not isinstance(error.__cause__, StopAsyncIteration):
            raise
    async with person.follow(turn_of(reader), reader=reader, last_event_id=reader.last_event_id) as again:
        return await again.read_to_end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("process", SERVICES)
async def test_a_process_that_ends_in_mid_answer_costs_no_word_and_no_call(
    hopline: Hopline, ada: Person, prompt: str, process: str, number: signal.Signals
) -> None:
    async with in_mid_answer(hopline, ada, prompt) as (turn, gate, conversation):
        hopline.stack.kill(process, number)
        await until(lambda: not hopline.stack.is_running(process), f"{process} has ended", timeout_s=30)
        await hopline.bring_back(process)
        gate.open()
        answer = await read_to_end_or_connect_again(ada, turn)
    assert answer.attempt == len(hopline.provider.calls_for(prompt)) == (2 if process == "chat-worker" else 1)
    await assert_well(hopline, ada, prompt, conversation, answer)


async def test_a_power_cut_loses_neither_the_answer_under_way_nor_the_message_that_waits(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    waiting = f"{prompt} And that?"
    async with in_mid_answer(hopline, ada, prompt) as (turn, gate, conversation):
        other = await ada.new_conversation()
        hopline.provider.on(waiting, says_in_two_parts("Before,", gate, " after"))
        await asyncio.to_thread(hopline.stack.kill, "valkey")  # so that no worker hears of it
        waits = await ada.submit(other, waiting)
        async with hopline.without(*DATABASES, *SERVICES, kill=True):
            gate.open()
        answer = await read_to_end_or_connect_again(ada, turn)
    await assert_well(hopline, ada, prompt, conversation, answer)
    ended = await ada.ended_turn(waits)
    assert (ended["state"], ended["text"]) == ("complete", "Before, after")
    await assert_counted_once(hopline, ada, other, waiting)


async def test_without_tracking_the_chat_goes_on_and_the_ledger_catches_up(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    prompts = [f"{prompt} {number}" for number in range(3)]
    conversation = await ada.new_conversation()
    async with hopline.without("tracking", "tracking-worker", kill=True):
        answers = [await ada.answer(conversation, asked) for asked in prompts]
        response = await ada.http.get(f"/api/conversations/{conversation}/usage")
    assert [answer.text for answer in answers] == [f"You said: {asked}" for asked in prompts]
    assert response.status_code == 503
    assert "try again" in response.json()["detail"].lower()
    await assert_counted_once(hopline, ada, conversation, *prompts)


async def test_a_call_that_the_ledger_is_told_of_twice_is_counted_once(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    conversation = await ada.new_conversation()
    async with hopline.without("tracking-worker"):
        turn = turn_of(await ada.answer(conversation, prompt))
        await until(lambda: is_told_again(hopline, turn), "the ledger's queue has the call twice", timeout_s=CATCH_UP_S)
    last = f"{prompt} And that?"
    await ada.answer(conversation, last)
    await assert_counted_once(hopline, ada, conversation, prompt, last)


@BOTH_WAYS
async def test_redis_restarted_in_mid_answer_is_not_seen_by_who_reads(
    hopline: Hopline, ada: Person, prompt: str, kill: bool
) -> None:
    async with in_mid_answer(hopline, ada, prompt) as (turn, gate, conversation):
        async with hopline.without("valkey", kill=kill):
            pass
        gate.open()
        answer = await turn.read_to_end()
    await assert_well(hopline, ada, prompt, conversation, answer)


async def test_an_answer_that_ends_without_redis_is_read_to_its_end(hopline: Hopline, ada: Person, prompt: str) -> None:
    async with (
        in_mid_answer(hopline, ada, prompt) as (turn, gate, conversation),
        hopline.without("valkey", kill=True),
    ):
        gate.open()
        answer = await turn.read_to_end()
    await assert_well(hopline, ada, prompt, conversation, answer)


async def test_redis_flushed_in_mid_answer_costs_no_word_and_no_call(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    async with in_mid_answer(hopline, ada, prompt) as (turn, gate, conversation):
        client = redis.Redis.from_url(hopline.stack.url("valkey"))
        await client.flushall()
        await client.aclose()
        gate.open()
        answer = await turn.read_to_end()
    await assert_well(hopline, ada, prompt, conversation, answer)


@BOTH_WAYS
async def test_postgres_restarted_in_mid_answer_is_not_seen_by_who_reads(
    hopline: Hopline, ada: Person, prompt: str, kill: bool
) -> None:
    async with in_mid_answer(hopline, ada, prompt) as (turn, gate, conversation):
        async with hopline.without("postgres", kill=kill):
            pass
        gate.open()
        answer = await turn.read_to_end()
    await assert_well(hopline, ada, prompt, conversation, answer)


async def test_an_answer_that_the_database_refuses_ends_at_once_with_a_sentence(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    hopline.provider.on(prompt, says(f"These words are refused: {prompt}"))
    conversation = await ada.new_conversation()
    async with messages_are_refused(hopline, that_say=f"refused: {prompt}"):
        answer = await ada.answer(conversation, prompt)
        ended = await ada.turn(turn_of(answer))
    assert answer.end is not None
    assert (answer.end.kind, answer.end.data["code"], answer.text) == ("error", "not_saved", "")
    assert "try again" in answer.end.data["message"]
    assert (ended["state"], ended["attempt"], ended["error"]["code"]) == ("failed", 1, "not_saved")
    await ada.assert_saved(conversation, answer)
    await assert_counted_once(hopline, ada, conversation, prompt)


async def test_who_hangs_up_and_connects_again_to_another_gateway_gets_only_what_is_new(
    hopline: Hopline, ada: Person, ada_key: str, prompt: str
) -> None:
    async with in_mid_answer(hopline, ada, prompt) as (turn, gate, conversation):
        reader = turn.reader
    seen = len(reader.events)
    async with (
        hopline.another_gateway({}, ada_key) as ada_elsewhere,
        ada_elsewhere.follow(turn_of(reader), reader=reader, last_event_id=reader.last_event_id) as again,
    ):
        gate.open()
        answer = await again.read_to_end()
    assert "".join(event.data["text"] for event in answer.events[seen:] if event.kind == "delta") == " after"
    await assert_well(hopline, ada, prompt, conversation, answer)


async def test_a_client_that_never_reads_is_in_nobodys_way(
    hopline: Hopline, ada: Person, ada_key: str, prompt: str
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, plan(Say("Well, "), Wait(gate), Say(" ".join(["x" * 19_999] * (LARGE // 20_000)))))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text)
        with never_reading(hopline, turn_of(turn.reader), ada_key) as client:
            gate.open()
            answer = await turn.read_to_end()
            await ada.assert_saved(conversation, answer)
            hopline.stack.kill("gateway", signal.SIGTERM)
            await until(lambda: not hopline.stack.is_running("gateway"), "the gateway has ended", timeout_s=10)
            await hopline.bring_back("gateway")
            assert bytes_left_in(client) < LARGE, "it was sent all of the answer, and held up nothing"
    assert answer.text == hopline.provider.calls_for(prompt)[0].text
    assert len(answer.text) > LARGE
    await assert_counted_once(hopline, ada, conversation, prompt)


def never_reading(hopline: Hopline, turn: str, key: str) -> socket.socket:
    """A client that has asked for the turn's events and takes nothing from its socket."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", hopline.stack.ports["gateway"]))
    lines = (f"GET /api/turns/{turn}/events HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}", "", "")
    client.sendall("\r\n".join(lines).encode())
    return client


def bytes_left_in(client: socket.socket) -> int:
    """How much the other side, which is gone, has sent."""
    left = 0
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            left += len(part)
    return left
