"""An answer as a stream of events: the first reader, a second one, one that comes back."""

import asyncio

import httpx

from e2e.hopline import Hopline
from e2e.models import DEFAULT, OTHER
from e2e.person import Person
from parts.event_stream import TurnReader
from parts.plans import CallTool, Gate, Reason, Say, plan, says, says_in_two_parts
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until


async def test_an_answer_is_streamed_with_offsets_and_ends_with_its_length(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    text = "Grüße 🙂 an alle"
    provider.on(prompt, says(text))
    conversation = await ada.new_conversation()
    answer = await ada.answer(conversation, prompt)
    assert answer.text == text
    assert answer.end is not None
    assert answer.end.kind == "end"
    assert answer.end.data == {"state": "complete", "length": len(text), "finish_reason": "stop"}


async def test_the_first_event_names_the_turn(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    answer = await ada.answer(conversation, prompt)
    first = answer.events[0]
    turn = await ada.turn(first.data["turn_id"])
    assert first.kind == "turn"
    assert first.data["conversation_id"] == conversation
    assert first.data["message_id"] == first.data["turn_id"]
    assert first.data["person_message_id"] == turn["person_message_id"]
    assert first.data["model"] == DEFAULT
    assert first.data["trace_id"] == turn["trace_id"]


async def test_the_first_words_come_before_the_answer_is_finished(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("one two three", gate, " four"))
    async with ada.ask(await ada.new_conversation(), prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "one two three")
        gate.open()
        answer = await turn.read_to_end()
    assert answer.text == "one two three four"


async def test_a_stream_is_neither_cached_nor_buffered_on_its_way(ada: Person, prompt: str) -> None:
    async with ada.ask(await ada.new_conversation(), prompt) as turn:
        await turn.read_to_end()
        assert turn.response.headers["content-type"].startswith("text/event-stream")
        assert (
            "no-store" in turn.response.headers["cache-control"] or "no-cache" in turn.response.headers["cache-control"]
        )
        assert turn.response.headers["x-accel-buffering"] == "no"


async def test_usage_comes_before_the_end_and_is_what_the_provider_reported(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    provider.on(prompt, plan(Reason("Let me see"), Say("Seven words are in this answer, yes"), cached_tokens=3))
    answer = await ada.answer(await ada.new_conversation(), prompt)
    [call] = provider.calls_for(prompt)
    [usage] = answer.datas("usage")
    assert answer.events[-1].kind == "end"
    assert {name: usage[name] for name in usage if name != "cost_usd"} == {
        "model": DEFAULT,
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "total_tokens": call.prompt_tokens + call.completion_tokens,
        "cached_tokens": 3,
        "reasoning_tokens": 3,
        "source": "reported",
    }


async def test_what_is_no_plain_text_comes_as_chunks(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    provider.on(prompt, plan(Reason("Hmm"), CallTool("call_1", "look", '{"at":"it"}')))
    answer = await ada.answer(await ada.new_conversation(), prompt)
    deltas = [chunk["delta"] for chunk in answer.datas("chunk")]
    arguments = "".join(
        call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", []) if "function" in call
    )
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hmm"
    assert arguments == '{"at":"it"}'
    assert answer.end is not None
    assert answer.end.data["finish_reason"] == "tool_calls"


async def test_a_program_that_takes_json_gets_the_turns_id_and_where_its_events_are(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    provider.on(prompt, says("Later"))
    conversation = await ada.new_conversation()
    response = await ada.http.post(
        f"/api/conversations/{conversation}/turns", json={"text": prompt}, headers={"Accept": "application/json"}
    )
    assert response.status_code == 202
    body = response.json()
    assert body == {"turn_id": body["turn_id"], "events_url": f"/api/turns/{body['turn_id']}/events"}
    async with ada.follow(body["turn_id"]) as turn:
        assert (await turn.read_to_end()).text == "Later"


async def test_who_attaches_in_the_middle_gets_the_whole_text_so_far_and_goes_on(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("The first half,", gate, " the second half"))
    turn_id = await ada.submit(await ada.new_conversation(), prompt)
    await until(lambda: gate.arrivals, "the provider is in the middle")
    async with ada.follow(turn_id) as turn:
        await turn.read_until(lambda reader: reader.text == "The first half,")
        gate.open()
        assert (await turn.read_to_end()).text == "The first half, the second half"


async def test_who_comes_back_with_the_last_id_gets_only_what_is_new(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("The first half,", gate, " the second half"))
    async with ada.ask(await ada.new_conversation(), prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "The first half,")
        reader = turn.reader
    assert reader.turn is not None
    seen = len(reader.events)
    async with ada.follow(reader.turn["turn_id"], reader=reader, last_event_id=reader.last_event_id) as again:
        gate.open()
        await again.read_to_end()
    new = "".join(event.data["text"] for event in reader.events[seen:] if event.kind == "delta")
    assert (reader.text, new) == ("The first half, the second half", " the second half")


async def test_two_readers_of_one_turn_read_the_same(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("Read by", gate, " two readers"))
    async with ada.ask(await ada.new_conversation(), prompt) as first:
        await first.read_until(lambda reader: reader.text == "Read by")
        assert first.reader.turn is not None
        async with ada.follow(first.reader.turn["turn_id"]) as second:
            await second.read_until(lambda reader: reader.text == "Read by")
            gate.open()
            texts = [reader.text for reader in await asyncio.gather(first.read_to_end(), second.read_to_end())]
    assert texts == ["Read by two readers"] * 2


async def test_a_turn_can_be_read_at_another_gateway(hopline: Hopline, ada: Person, ada_key: str, prompt: str) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("Asked here,", gate, " read there"))
    async with (
        hopline.another_gateway({}, ada_key) as ada_elsewhere,
        ada.ask(await ada.new_conversation(), prompt) as here,
    ):
        await here.read_until(lambda reader: reader.text == "Asked here,")
        assert here.reader.turn is not None
        async with ada_elsewhere.follow(here.reader.turn["turn_id"]) as there:
            await there.read_until(lambda reader: reader.text == "Asked here,")
            gate.open()
            texts = [r.text for r in await asyncio.gather(here.read_to_end(), there.read_to_end())]
    assert texts == ["Asked here, read there"] * 2


async def test_a_reader_that_leaves_does_not_end_the_answer(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("I go on", gate, " without you"))
    async with ada.ask(await ada.new_conversation(), prompt) as turn:
        await turn.read_until(lambda reader: reader.text)
        assert turn.reader.turn is not None
        turn_id = turn.reader.turn["turn_id"]
    gate.open()
    ended = await ada.ended_turn(turn_id)
    assert (ended["state"], ended["text"]) == ("complete", "I go on without you")


async def test_the_stream_of_an_ended_turn_is_its_whole_text_and_its_end(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    provider.on(prompt, says("Over and done"))
    answer = await ada.answer(await ada.new_conversation(), prompt)
    assert answer.turn is not None
    async with ada.follow(answer.turn["turn_id"]) as turn:
        again = await turn.read_to_end()
    assert (again.text, again.end and again.end.data) == (answer.text, answer.end and answer.end.data)


async def test_long_answers_arrive_whole(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    text = " ".join(f"word-{number}" for number in range(4000))
    provider.on(prompt, says(text))
    answer = await ada.answer(await ada.new_conversation(), prompt)
    assert answer.text == text
    assert len(answer.datas("delta")) < 4000, "tokens that come close together travel together"


async def test_the_history_along_the_branch_is_what_the_provider_is_sent(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    second = f"{prompt} And then?"
    provider.on(prompt, says("First answer"))
    conversation = await ada.new_conversation()
    await ada.answer(conversation, prompt)
    await ada.answer(conversation, second)
    [call] = provider.calls_for(second)
    assert [m for m in call.messages if m["role"] != "system"] == [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": "First answer"},
        {"role": "user", "content": second},
    ]


async def test_a_message_below_an_earlier_one_leaves_the_other_branch_out(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    conversation = await ada.new_conversation()
    first = await ada.answer(conversation, prompt)
    await ada.answer(conversation, f"{prompt} This way.")
    assert first.turn is not None
    await ada.answer(conversation, f"{prompt} That way.", parent_id=first.turn["message_id"])
    [call] = provider.calls_for(f"{prompt} That way.")
    said = [m["content"] for m in call.messages if m["role"] == "user"]
    assert said == [prompt, f"{prompt} That way."]


async def test_a_message_can_name_its_model(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    answer = await ada.answer(await ada.new_conversation(), prompt, model=OTHER)
    assert answer.turn is not None
    assert answer.turn["model"] == OTHER
    assert [call.model for call in provider.calls_for(prompt)] == [OTHER]


async def test_many_answers_at_once_do_not_mix(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    prompts = [f"{prompt} Number {number}." for number in range(12)]
    for asked in prompts:
        provider.on(asked, plan(Say(f"This answers: {asked}", pause_s=0.01)))

    async def ask(text: str) -> TurnReader:
        return await ada.answer(await ada.new_conversation(), text)

    answers = await asyncio.gather(*(ask(text) for text in prompts))
    assert [answer.text for answer in answers] == [f"This answers: {asked}" for asked in prompts]


async def test_an_id_that_is_no_event_id_is_refused(ada: Person, prompt: str) -> None:
    answer = await ada.answer(await ada.new_conversation(), prompt)
    assert answer.turn is not None
    response: httpx.Response = await ada.http.get(
        f"/api/turns/{answer.turn['turn_id']}/events", headers={"Last-Event-ID": "not an id"}
    )
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"
