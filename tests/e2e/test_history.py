"""Conversations are kept: after a reload, after a restart, and for the one who had them."""

from e2e.hopline import Hopline
from e2e.models import DEFAULT, OTHER
from e2e.person import Person
from parts.plans import Gate, says, says_in_two_parts
from parts.scripted_provider import ScriptedProvider


async def test_a_conversation_holds_its_messages_with_their_turns(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    provider.on(prompt, says("Kept"))
    conversation = await ada.new_conversation()
    answer = await ada.answer(conversation, prompt)
    assert answer.turn is not None
    turn_id = answer.turn["turn_id"]
    [asked, answered] = (await ada.conversation(conversation))["messages"]
    assert (asked["role"], asked["text"], asked["parent_id"]) == ("user", prompt, None)
    assert (answered["id"], answered["parent_id"]) == (turn_id, asked["id"])
    assert (answered["role"], answered["text"], answered["model"]) == ("assistant", "Kept", DEFAULT)
    assert (answered["turn"]["id"], answered["turn"]["state"]) == (turn_id, "complete")


async def test_an_answer_under_way_is_in_the_history_with_its_text_so_far(
    provider: ScriptedProvider, ada: Person, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("Not yet", gate, " finished"))
    conversation = await ada.new_conversation()
    async with ada.ask(conversation, prompt) as turn:
        await turn.read_until(lambda reader: reader.text == "Not yet")
        [_, answer] = (await ada.conversation(conversation))["messages"]
        assert answer["turn"]["state"] == "running"
        assert "Not yet".startswith(answer["text"]), "a checkpoint may lag behind, and may not be wrong"
        gate.open()
        await turn.read_to_end()
    assert await ada.messages(conversation) == [("user", prompt), ("assistant", "Not yet finished")]


async def test_a_failed_answer_keeps_what_was_said_and_says_why(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation("unreachable")
    answer = await ada.answer(conversation, prompt)
    assert answer.end is not None
    assert answer.end.kind == "error"
    [_, kept] = (await ada.conversation(conversation))["messages"]
    assert (kept["text"], kept["turn"]["state"]) == ("", "failed")
    assert kept["turn"]["error"] == {name: answer.end.data[name] for name in ("code", "message", "retryable")}


async def test_everything_is_there_after_all_processes_were_restarted(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    hopline.provider.on(prompt, says("Still here"))
    conversation = await ada.new_conversation()
    await ada.answer(conversation, prompt)
    before = await ada.conversation(conversation)
    counted = await ada.counted(conversation, 1)
    await hopline.restart("gateway", "chat", "chat-worker", "tracking", "tracking-worker")
    assert await ada.conversation(conversation) == before
    assert await ada.usage(conversation) == counted
    assert (await ada.answer(conversation, f"{prompt} Again?")).end is not None


async def test_a_conversation_is_named_after_its_first_message_and_can_be_renamed(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    await ada.answer(conversation, prompt)
    assert (await ada.conversation(conversation))["title"] == prompt
    response = await ada.http.patch(f"/api/conversations/{conversation}", json={"title": "A better name"})
    assert response.status_code == 200
    assert (await ada.conversation(conversation))["title"] == "A better name"


async def test_the_list_has_the_latest_first_and_goes_on_page_by_page(hopline: Hopline, prompt: str) -> None:
    async with hopline.client(Authorization=f"Bearer {hopline.add_person(prompt)}") as http:
        person = Person(http, prompt)
        made = [await person.new_conversation() for _ in range(5)]
        await person.answer(made[2], prompt)
        seen: list[str] = []
        before: str | None = None
        while True:
            params = {"limit": "2"} if before is None else {"limit": "2", "before": before}
            page = (await http.get("/api/conversations", params=params)).json()
            seen += [conversation["id"] for conversation in page["conversations"]]
            before = page["next"]
            if before is None:
                break
    assert seen == [made[2], made[4], made[3], made[1], made[0]]


async def test_a_deleted_conversation_is_gone(ada: Person, prompt: str) -> None:
    conversation = await ada.new_conversation()
    answer = await ada.answer(conversation, prompt)
    assert answer.turn is not None
    assert (await ada.http.delete(f"/api/conversations/{conversation}")).status_code == 204
    gone = [
        await ada.http.get(f"/api/conversations/{conversation}"),
        await ada.http.get(f"/api/turns/{answer.turn['turn_id']}"),
        await ada.http.get(f"/api/turns/{answer.turn['turn_id']}/events"),
        await ada.http.delete(f"/api/conversations/{conversation}"),
    ]
    assert [response.status_code for response in gone] == [404] * 4


async def test_a_new_conversation_takes_the_default_model_or_the_one_it_names(ada: Person) -> None:
    models = [(await ada.conversation(await ada.new_conversation(model)))["model"] for model in (None, OTHER)]
    assert models == [DEFAULT, OTHER]


async def test_the_models_on_offer_are_those_of_the_file(ada: Person) -> None:
    offered = (await ada.http.get("/api/models")).json()
    assert offered["default"] == DEFAULT
    [default] = [model for model in offered["models"] if model["id"] == DEFAULT]
    assert (default["provider"], default["context_window"]) == ("scripted", 8192)
    assert default["description"] == "Says what the test says"
