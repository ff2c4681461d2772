"""Several of each behind the proxy, with a provider in place of the local model: any gateway serves any turn."""

import asyncio
from collections.abc import Iterator

import pytest
from openai import AsyncOpenAI

from containers.composition import EVERY_ADDRESS, Composition, as_containers_see, docker
from e2e.person import Person
from parts.plans import Gate, says_in_two_parts
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until

COPIES = {"gateway": 2, "chat-worker": 3, "tracking-worker": 2}
MODEL = "scripted"
BEFORE, AFTER = "This much comes at once. ", "And this comes after the gate."
MANY = 12


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(models=[MODEL], api_key="sk-of-the-tests", host=EVERY_ADDRESS) as provider:
        yield provider


@pytest.fixture(scope="module")
def scaled(hopline: Composition, provider: ScriptedProvider) -> Composition:
    """The same data as before, more processes."""
    hopline.up(
        settings={
            "OPENAI_BASE_URL": as_containers_see(provider.base_url),
            "OPENAI_API_KEY": "sk-of-the-tests",
        },
        scale=COPIES,
    )
    return hopline


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def test_as_many_run_as_were_asked_for(scaled: Composition) -> None:
    found = {name: len(copies) for name, copies in scaled.containers().items() if name in COPIES}
    assert found == COPIES


async def test_a_stream_that_began_at_one_gateway_goes_on_at_another(
    scaled: Composition, provider: ScriptedProvider, gate: Gate, prompt: str
) -> None:
    provider.on(prompt, says_in_two_parts(BEFORE, gate, AFTER))
    one, other = await asyncio.to_thread(scaled.addresses, "gateway", 8000)
    async with scaled.client(one) as http:
        person = Person(http, "local")
        conversation = await person.new_conversation()
        async with person.ask(conversation, prompt) as turn:
            reader = await turn.read_until(lambda r: r.text == BEFORE)
    assert reader.turn is not None
    async with scaled.client(other) as http:
        person = Person(http, "local")
        turn_id = reader.turn["turn_id"]
        async with person.follow(turn_id, reader=reader, last_event_id=reader.last_event_id) as turn:
            gate.open()
            await turn.read_to_end()
        assert reader.text == BEFORE + AFTER
        await person.assert_saved(conversation, reader)


async def test_the_proxy_spreads_over_all_gateways_and_holds_nothing_back(
    scaled: Composition, provider: ScriptedProvider, gate: Gate, prompt: str
) -> None:
    """All streams are under way at once, each with its first words there while the provider still waits."""
    provider.on(prompt, says_in_two_parts(BEFORE, gate, AFTER))
    async with scaled.client() as http:
        person = Person(http, "local")

        async def answer() -> str:
            async with person.ask(await person.new_conversation(), prompt) as turn:
                await turn.read_until(lambda r: r.text == BEFORE)
                arrived.append(True)
                return (await turn.read_to_end()).text

        arrived: list[bool] = []
        answers = [asyncio.create_task(answer()) for _ in range(MANY)]
        await until(lambda: len(arrived) == MANY, "the first words of every stream", timeout_s=60.0)
        gate.open()
        assert await asyncio.gather(*answers) == [BEFORE + AFTER] * MANY
    copies = (await asyncio.to_thread(scaled.containers))["gateway"]
    asked = [log.count('"method": "POST"') for log in map(scaled.log_of, copies)]
    assert min(asked) > 0, asked


async def test_an_answer_goes_on_when_its_gateway_is_stopped(
    scaled: Composition, provider: ScriptedProvider, gate: Gate, prompt: str
) -> None:
    provider.on(prompt, says_in_two_parts(BEFORE, gate, AFTER))
    [first, _] = (await asyncio.to_thread(scaled.containers))["gateway"]
    [address, _] = await asyncio.to_thread(scaled.addresses, "gateway", 8000)
    async with scaled.client(address) as http:
        person = Person(http, "local")
        conversation = await person.new_conversation()
        async with person.ask(conversation, prompt) as turn:
            reader = await turn.read_until(lambda r: r.text == BEFORE)
            await asyncio.to_thread(docker, "stop", "--time", "30", first["Id"])
    try:
        assert reader.turn is not None
        async with scaled.client() as http:
            person = Person(http, "local")
            again = person.follow(reader.turn["turn_id"], reader=reader, last_event_id=reader.last_event_id)
            async with again as turn:
                gate.open()
                await turn.read_to_end()
        assert reader.text == BEFORE + AFTER
    finally:
        await asyncio.to_thread(docker, "start", first["Id"])


async def test_a_client_that_hangs_up_at_the_proxy_is_missed_behind_it(
    scaled: Composition, provider: ScriptedProvider, gate: Gate, prompt: str
) -> None:
    """Nobody pays for an answer that nobody waits for."""
    provider.on(prompt, says_in_two_parts(BEFORE, gate, AFTER))
    async with AsyncOpenAI(base_url=f"{scaled.url}/v1", api_key="any", max_retries=0) as client:
        chunks = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": prompt}], stream=True
        )
        await anext(aiter(chunks))
        await chunks.close()
    [call] = provider.calls_for(prompt)
    await until(lambda: call.outcome == "abandoned", "the provider is hung up on", timeout_s=30.0)
