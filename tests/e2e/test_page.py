"""The page, in a real Chromium."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from playwright.async_api import Browser, BrowserContext, expect

from e2e.browser import Tab
from e2e.edges import CLICK, PICK, missing_edges
from e2e.hopline import Hopline
from e2e.models import ALL, DEFAULT, OTHER
from e2e.person import Person
from parts.plans import Gate, Hang, Refuse, Say, Wait, plan, says, says_in_two_parts
from parts.scripted_provider import ScriptedProvider
from parts.waiting import until


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context()
    yield context
    await context.close()


@pytest.fixture
async def tab(hopline: Hopline, context: BrowserContext) -> AsyncIterator[Tab]:
    """A tab at the start page. Whatever the console complains of fails the test."""
    tab = Tab(await context.new_page())
    await tab.open(hopline.url)
    yield tab
    assert tab.complaints == []


async def test_an_answer_streams_in_and_its_conversation_is_listed(
    provider: ScriptedProvider, tab: Tab, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("The first words", gate, " and the last"))
    await tab.ask(prompt)
    await tab.shows(prompt, "The first words")
    await expect(tab.stop).to_be_visible()
    await expect(tab.message).to_be_empty()
    gate.open()
    await tab.shows(prompt, "The first words and the last")
    await expect(tab.send).to_be_visible()
    await expect(tab.conversations.get_by_role("link", name=prompt)).to_be_visible()


async def test_enter_sends_and_shift_enter_is_a_new_line(provider: ScriptedProvider, tab: Tab, prompt: str) -> None:
    await tab.message.press_sequentially(prompt[:20])
    await tab.message.press("Shift+Enter")
    await tab.message.press_sequentially("below")
    await tab.message.press("Enter")
    await tab.shows(f"{prompt[:20]}\nbelow", "You said:")
    assert provider.calls_for(f"{prompt[:20]}\nbelow") != []


async def test_stop_ends_the_answer_and_keeps_what_was_said(
    provider: ScriptedProvider, tab: Tab, local: Person, prompt: str
) -> None:
    provider.on(prompt, plan(Say("As far as this"), Hang()))
    await tab.ask(prompt)
    await tab.shows(prompt, "As far as this")
    await tab.stop.click()
    await expect(tab.send).to_be_visible()
    await tab.shows(prompt, "As far as this")
    assert await local.messages(await tab.conversation()) == [("user", prompt), ("assistant", "As far as this")]


async def test_the_model_is_chosen_from_those_configured(provider: ScriptedProvider, tab: Tab, prompt: str) -> None:
    assert await tab.model.get_by_role("option").all_text_contents() == list(ALL)
    await expect(tab.model).to_have_value(DEFAULT)
    await tab.model.select_option(OTHER)
    await tab.ask(prompt)
    await tab.shows(prompt, f"You said: {prompt}")
    assert [call.model for call in provider.calls_for(prompt)] == [OTHER]


async def test_a_new_conversation_begins_empty(tab: Tab, prompt: str) -> None:
    await tab.ask(prompt)
    await tab.shows(prompt, "You said")
    first = await tab.conversation()
    await tab.new_conversation.click()
    await expect(tab.messages).to_have_count(0)
    await tab.ask(f"{prompt} Anew.")
    await tab.shows(f"{prompt} Anew.", "You said")
    assert await tab.conversation() != first
    await tab.conversations.get_by_role("link", name=prompt, exact=True).click()
    await tab.shows(prompt, f"You said: {prompt}")
    assert await tab.conversation() == first


async def test_the_history_is_there_after_a_reload(tab: Tab, prompt: str) -> None:
    await tab.ask(prompt)
    await tab.shows(prompt, f"You said: {prompt}")
    await expect(tab.send).to_be_visible()
    await tab.ask(f"{prompt} Again.")
    await tab.shows(prompt, "You said", f"{prompt} Again.", f"You said: {prompt} Again.")
    await tab.page.reload()
    await tab.shows(prompt, "You said", f"{prompt} Again.", f"You said: {prompt} Again.")


async def test_a_reload_in_mid_answer_shows_the_whole_text_so_far_and_goes_on(
    provider: ScriptedProvider, tab: Tab, prompt: str
) -> None:
    gate, second_gate = Gate(), Gate()
    steps = (Say("Before the reload,"), Wait(gate), Say(" after it,"), Wait(second_gate), Say(" at the end"))
    provider.on(prompt, plan(*steps))
    await tab.ask(prompt)
    await tab.shows(prompt, "Before the reload,")
    await tab.conversation()
    await tab.page.reload()
    await tab.shows(prompt, "Before the reload,")
    gate.open()
    await tab.shows(prompt, "Before the reload, after it,")
    await expect(tab.stop).to_be_visible()
    second_gate.open()
    await tab.shows(prompt, "Before the reload, after it, at the end")
    await expect(tab.send).to_be_visible()


async def test_a_second_tab_shows_the_same_answer_as_it_comes(
    provider: ScriptedProvider, tab: Tab, context: BrowserContext, prompt: str
) -> None:
    gate = Gate()
    provider.on(prompt, says_in_two_parts("In two tabs", gate, " at once"))
    await tab.ask(prompt)
    await tab.shows(prompt, "In two tabs")
    await tab.conversation()
    second = Tab(await context.new_page())
    await second.open(tab.page.url)
    await second.shows(prompt, "In two tabs")
    gate.open()
    for each in (tab, second):
        await each.shows(prompt, "In two tabs at once")
    assert second.complaints == []


async def test_the_page_shows_the_right_text_when_a_worker_is_killed_in_mid_answer(
    hopline: Hopline, tab: Tab, local: Person, prompt: str
) -> None:
    gate = Gate()
    hopline.provider.on(prompt, says_in_two_parts("The first worker said", gate, ""), says(" then the second"))
    await tab.ask(prompt)
    await tab.shows(prompt, "The first worker said")
    async with hopline.without("chat-worker", kill=True):
        pass
    await expect(tab.send).to_be_visible()
    [_, (_, saved)] = await local.messages(await tab.conversation())
    assert saved.endswith("then the second")
    await tab.shows(prompt, saved)


async def test_a_failure_says_what_happened_and_can_be_tried_again(
    provider: ScriptedProvider, tab: Tab, prompt: str
) -> None:
    provider.on(prompt, plan(Refuse(500)), says("This time it went"))
    await tab.ask(prompt)
    await expect(tab.messages.last).to_contain_text("The model's provider had an error.")
    await tab.page.get_by_role("button", name="Try again").click()
    await expect(tab.messages.last).to_contain_text("This time it went")


async def test_markup_in_an_answer_is_shown_and_a_script_in_it_does_not_run(
    provider: ScriptedProvider, tab: Tab, prompt: str
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    provider.on(prompt, says(f"**bold** {evil} [link](javascript:document.title='owned') end"))
    await tab.ask(prompt)
    answer = tab.messages.last
    await expect(answer.locator("strong")).to_have_text("bold")
    await expect(answer).to_contain_text("end")
    await expect(tab.send).to_be_visible()
    assert await answer.locator("script, img[onerror], a[href^='javascript']").count() == 0
    assert "owned" not in await tab.page.title()


async def test_a_click_on_send_is_the_root_of_the_whole_trace(
    hopline: Hopline, tab: Tab, local: Person, prompt: str
) -> None:
    await tab.ask(prompt)
    await tab.shows(prompt, f"You said: {prompt}")
    answer = (await local.conversation(await tab.conversation()))["messages"][-1]
    trace = await hopline.ingest.wait_for_trace(
        answer["turn"]["trace_id"], lambda t: missing_edges(t, CLICK) == [], "every edge from the click on"
    )
    [root] = [span for span in trace.spans.values() if trace.parent_of(span) is None]
    assert (root.process, root.op, root.parent_id) == ("browser", "ui.action.send", None)
    await tab.messages.last.get_by_role("button", name="Trace").click()
    await expect(tab.messages.last).to_contain_text(trace.trace_id)


async def test_a_model_picked_in_the_page_is_one_trace_to_the_ledger(
    hopline: Hopline, tab: Tab, local: Person, prompt: str
) -> None:
    await tab.ask(prompt)
    await expect(tab.send).to_be_visible()
    await tab.shows(prompt, f"You said: {prompt}")
    conversation = await tab.conversation()
    seen = len(hopline.ingest.items_of("transaction"))
    await tab.model.select_option(OTHER)
    await tab.ask(f"{prompt} Now?")
    await tab.shows(prompt, "You said", f"{prompt} Now?", f"You said: {prompt} Now?")
    [switch] = (await local.usage(conversation))["switches"]
    assert (switch["from_model"], switch["to_model"]) == (DEFAULT, OTHER)

    def picks() -> list[str]:
        new = hopline.ingest.items_of("transaction")[seen:]
        roots = [transaction["contexts"]["trace"] for transaction in new]
        return [root["trace_id"] for root in roots if root.get("op") == "ui.action.switch"]

    [trace_id] = await until(picks, "the page's own part of the switch")
    await hopline.ingest.wait_for_trace(
        trace_id, lambda t: missing_edges(t, PICK) == [], "every edge of a switch from the page on"
    )


async def test_what_is_typed_and_shown_is_in_nothing_that_is_sent_to_sentry_replays_included(
    hopline: Hopline, tab: Tab, prompt: str
) -> None:
    mark = f"planted{uuid4().hex}"
    failing = f"{mark} asked in vain"
    hopline.provider.on(
        f"{mark} asked", says(f"{mark} answer with a [link](https://{mark}.example/{mark}) and `{mark}`")
    )
    hopline.provider.on(failing, plan(Say(f"{mark} begun"), Refuse(500, f"{mark} refused")))
    before = len(recordings(hopline))
    await tab.ask(f"{mark} asked")
    await tab.shows(f"{mark} asked", f"{mark} answer with a link")
    await expect(tab.send).to_be_visible()
    await tab.ask(failing)
    await expect(tab.page.get_by_role("button", name="Try again")).to_be_visible()
    await tab.message.fill(f"{mark} never sent")
    await until(lambda: any(b"article" in r for r in recordings(hopline)[before:]), "a replay with messages in it")
    seen = len(recordings(hopline))
    await tab.new_conversation.click()
    await expect(tab.messages).to_have_count(0)
    await until(lambda: len(recordings(hopline)) > seen, "the rest of the replay")
    assert mark.encode() not in hopline.ingest.everything()


def recordings(hopline: Hopline) -> list[bytes]:
    return [item.readable for item in hopline.ingest.items if item.type == "replay_recording"]
