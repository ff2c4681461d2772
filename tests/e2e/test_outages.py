"""What goes away comes back, and nothing that was accepted is lost."""

import asyncio
import signal

import pytest
import redis.asyncio as redis

from e2e.hopline import Hopline
from e2e.models import IMPATIENT, UNREACHABLE
from e2e.person import OpenTurn, Person
from parts.event_stream import TurnReader
from parts.plans import Garbage, Gate, Hang, Plan, Refuse, Say, plan, says, says_in_two_parts
from parts.scripted_provider import ScriptedProvider
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
    await assert_text_is_saved(ada, conversation, answer)
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
    await assert_text_is_saved(ada, conversation, answer)
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


async def test_a_message_accepted_without_redis_starts_when_redis_is_back(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    hopline.provider.on(prompt, says("Better late"))
    conversation = await ada.new_conversation()
    async with hopline.without("valkey", kill=True):
        turn = await ada.submit(conversation, prompt)
        assert (await ada.turn(turn))["state"] == "queued"
    ended = await ada.ended_turn(turn, timeout_s=40)
    assert (ended["state"], ended["text"]) == ("complete", "Better late")
    await ada.counted(conversation, 1, timeout_s=40)


async def test_an_answer_goes_on_and_is_saved_when_redis_goes_away_in_the_middle(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("With Redis,", gate, " and without"))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "With Redis,")
        async with hopline.without("valkey", kill=True):
            gate.open()
            assert turn.reader.turn is not None
            ended = await ada.ended_turn(turn.reader.turn["turn_id"])
    assert ended["text"] == "With Redis, and without"
    await ada.counted(conversation, 1, timeout_s=40)


async def test_a_flushed_redis_loses_nothing_of_an_answer_under_way(hopline: Hopline, ada: Person, prompt: str) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Before the flush,", gate, " and after it"))
    async with ada.ask(await ada.new_conversation(), prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Before the flush,")
        assert turn.reader.turn is not None
        turn_id = turn.reader.turn["turn_id"]

        async def is_checkpointed() -> bool:
            return (await ada.turn(turn_id))["text"] == "Before the flush,"

        await until(is_checkpointed, "a checkpoint")
        client = redis.Redis.from_url(hopline.stack.url("valkey"))
        await client.flushall()
        await client.aclose()
        async with ada.follow(turn_id) as late:
            gate.open()
            texts = [r.text for r in await asyncio.gather(turn.read_to_end(), late.read_to_end())]
    assert texts == ["Before the flush, and after it"] * 2


async def test_without_postgres_a_request_is_503_and_says_so_and_all_is_well_afterwards(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    conversation = await ada.new_conversation()
    async with hopline.without("postgres", kill=True):
        path = f"/api/conversations/{conversation}"
        responses = [
            await ada.http.post(f"{path}/turns", json={"text": prompt}),
            await ada.http.get(path),
            await ada.http.get("/api/conversations"),
            await ada.http.post("/api/conversations", json={}),
            await ada.http.post(f"{path}/model", json={"model": "scripted-large"}),
        ]
        health = await ada.http.get("/api/health")
    for response in responses:
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert "retry-after" in response.headers
        assert "try again" in response.json()["detail"].lower()
    assert health.status_code == 503
    assert (await ada.answer(conversation, prompt)).text == f"You said: {prompt}"


async def test_an_answer_whose_end_can_not_be_saved_is_saved_when_postgres_is_back(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Written down", gate, " in the end"))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Written down")
        async with hopline.without("postgres", kill=True):
            gate.open()
            await until(lambda: hopline.provider.calls_for(prompt)[0].outcome == "complete", "the provider is through")
        answer = await turn.read_to_end()
    await assert_text_is_saved(ada, conversation, answer)
    assert answer.text == "Written down in the end"


@pytest.mark.parametrize(
    ("model", "steps", "code", "said"),
    [
        (UNREACHABLE, plan(), "provider_unreachable", ""),
        ("scripted", plan(Refuse(500)), "provider_failed", ""),
        ("scripted", plan(Refuse(429)), "provider_refused", ""),
        ("scripted", plan(Refuse(400)), "provider_refused", ""),
        ("scripted", plan(Refuse(401)), "provider_refused", ""),
        ("scripted", plan(Say("So far"), Refuse(500)), "provider_failed", "So far"),
        ("scripted", plan(Garbage("data: {not json")), "provider_garbled", ""),
        (IMPATIENT, plan(Hang()), "provider_silent", ""),
        (IMPATIENT, plan(Say("And then"), Hang()), "provider_silent", "And then"),
    ],
    ids=lambda value: f"{value!s:.50}",
)
async def test_a_provider_that_fails_ends_the_answer_with_a_sentence(
    provider: ScriptedProvider, ada: Person, prompt: str, model: str, steps: Plan, code: str, said: str
) -> None:
    provider.on(prompt, steps)
    conversation = await ada.new_conversation(model)
    answer = await ada.answer(conversation, prompt)
    assert answer.end is not None
    assert answer.end.kind == "error"
    assert (answer.end.data["code"], answer.text) == (code, said)
    assert answer.end.data["message"].endswith((".", ")."))
    assert answer.turn is not None
    turn = await ada.turn(answer.turn["turn_id"])
    assert (turn["state"], turn["text"], turn["error"]["code"]) == ("failed", said, code)
    assert (await ada.answer(conversation, f"{prompt} Again?", model="scripted")).end is not None


async def test_a_provider_that_is_down_and_comes_back_answers_again(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    conversation = await ada.new_conversation()
    provider.stop()
    try:
        down = await ada.answer(conversation, prompt)
    finally:
        provider.start()
    up = await ada.answer(conversation, f"{prompt} Now?")
    assert (down.end and down.end.kind, up.end and up.end.kind) == ("error", "end")


async def assert_text_is_saved(person: Person, conversation: str, answer: TurnReader) -> None:
    """What the reader has is what is kept."""
    assert answer.turn is not None
    turn = await person.turn(answer.turn["turn_id"])
    assert turn["text"] == answer.text
    assert (await person.messages(conversation))[-1] == ("assistant", answer.text)


async def closed(turn: OpenTurn) -> None:
    """The server has closed the stream, without its end."""
    with pytest.raises(AssertionError):
        await turn.read_until(lambda reader: reader.end)
