"""PostgreSQL, Redis, a service or Sentry goes away and comes back, and nothing that was accepted is lost."""

import asyncio

import httpx
import redis.asyncio as redis

from e2e.hopline import Hopline
from e2e.models import DEFAULT, OTHER
from e2e.person import Person
from parts.plans import Gate, says, says_in_two_parts
from parts.waiting import until


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
        assert_is_clear_503(response)
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
    await ada.assert_saved(conversation, answer)
    assert answer.text == "Written down in the end"


async def test_v1_without_postgres_is_503_in_openais_shape(hopline: Hopline, ada: Person, prompt: str) -> None:
    body = {"model": DEFAULT, "messages": [{"role": "user", "content": prompt}]}
    async with hopline.without("postgres", kill=True):
        response = await ada.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 503
    assert response.json()["error"]["type"] == "server_error"


async def test_without_chat_a_request_is_503_and_says_so(hopline: Hopline, ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    async with hopline.without("chat", kill=True):
        responses = [
            await ada.http.post(f"/api/conversations/{conversation}/turns", json={"text": prompt}),
            await ada.http.get("/api/conversations"),
            await ada.http.get("/api/models"),
        ]
    for response in responses:
        assert_is_clear_503(response)
    assert (await ada.answer(conversation, prompt)).text == f"You said: {prompt}"


async def test_a_stream_goes_on_over_a_restart_of_chat(hopline: Hopline, ada: Person, prompt: str) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Chat is not", gate, " in the way"))
    async with ada.ask(await ada.new_conversation(), prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Chat is not")
        async with hopline.without("chat", kill=True):
            gate.open()
            answer = await turn.read_to_end()
    assert answer.text == "Chat is not in the way"


async def test_a_switch_made_without_tracking_is_recorded_when_tracking_is_back(hopline: Hopline, ada: Person) -> None:
    conversation = await ada.new_conversation(DEFAULT)
    async with hopline.without("tracking", kill=True):
        response = await ada.switch(conversation, OTHER)
        assert response.status_code == 200
        assert response.json()["estimate"] == {"context_tokens": None, "cost_usd": None}
        assert (await ada.conversation(conversation))["model"] == OTHER
        assert_is_clear_503(await ada.http.get(f"/api/conversations/{conversation}/usage"))

    async def recorded() -> list[dict[str, object]]:
        return (await ada.usage(conversation))["switches"]

    [switch] = await until(recorded, "the switch is recorded", timeout_s=40)
    assert (switch["tracking_id"], switch["state"]) == (response.json()["tracking_id"], "started")


async def test_a_sentry_that_is_down_is_in_nobodys_way(hopline: Hopline, ada: Person, prompt: str) -> None:
    hopline.ingest.stop()
    try:
        answer = await ada.answer(await ada.new_conversation(), prompt)
    finally:
        hopline.ingest.start()
    assert answer.text == f"You said: {prompt}"


def assert_is_clear_503(response: httpx.Response) -> None:
    """It says that trying again helps, to a person and to a program."""
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert "retry-after" in response.headers
    assert "try again" in response.json()["detail"].lower()
