"""A provider that fails, in each way it can: the answer ends with a sentence, and the next one is as good as ever."""

import pytest

from e2e.models import IMPATIENT, UNREACHABLE
from e2e.person import Person
from parts.plans import Break, Garbage, Hang, Plan, Refuse, Say, plan
from parts.scripted_provider import ScriptedProvider


@pytest.mark.parametrize(
    ("model", "steps", "code", "said"),
    [
        (UNREACHABLE, plan(), "provider_unreachable", ""),
        ("scripted", plan(Refuse(500)), "provider_failed", ""),
        ("scripted", plan(Refuse(429)), "provider_refused", ""),
        ("scripted", plan(Refuse(400)), "provider_refused", ""),
        ("scripted", plan(Refuse(401)), "provider_refused", ""),
        ("scripted", plan(Say("So far"), Refuse(500)), "provider_failed", "So far"),
        ("scripted", plan(Say("So far"), Break()), "provider_cut", "So far"),
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
    again = await ada.answer(conversation, f"{prompt} Again?", model="scripted")
    assert again.text == f"You said: {prompt} Again?"
    usage = await ada.counted(conversation, 2)
    assert len(provider.calls_for(prompt)) == (0 if model == UNREACHABLE else 1)
    assert usage["total"]["calls"] == 2, "one call of each message, also of one that reached nobody"


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
