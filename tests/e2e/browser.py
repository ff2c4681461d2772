"""A real Chromium at the page, by the names that a screen reader would say."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, ConsoleMessage, Error, Locator, Page, async_playwright, expect

from local.browser import find_chromium

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 20_000


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    """The system's Chromium, or else the one that playwright has installed; without either the test is skipped."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        except Error as error:
            pytest.skip(f"no Chromium here (`playwright install chromium` brings one): {error.message.splitlines()[0]}")
        try:
            yield browser
        finally:
            await browser.close()


class Tab:
    """One tab with the page in it. `complaints` holds what the browser's console said was wrong."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    async def open(self, url: str) -> None:
        await self.page.goto(url)
        await expect(self.model).to_be_enabled()

    @property
    def message(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def send(self) -> Locator:
        return self.page.get_by_role("button", name="Send")

    @property
    def stop(self) -> Locator:
        return self.page.get_by_role("button", name="Stop")

    @property
    def new_conversation(self) -> Locator:
        return self.page.get_by_role("button", name="New conversation")

    @property
    def model(self) -> Locator:
        return self.page.get_by_role("combobox", name="Model")

    @property
    def conversations(self) -> Locator:
        return self.page.get_by_role("navigation", name="Conversations")

    @property
    def messages(self) -> Locator:
        return self.page.get_by_role("log", name="Conversation").get_by_role("article")

    async def ask(self, text: str) -> None:
        await self.message.fill(text)
        await self.send.click()

    async def shows(self, *texts: str) -> None:
        """The messages on show are these, from the first to the last; an answer's foot may say more below it."""
        await expect(self.messages).to_have_count(len(texts))
        for at, text in enumerate(texts):
            await expect(self.messages.nth(at)).to_contain_text(text)

    async def conversation(self) -> str:
        """The id of the conversation on show, once it has one."""
        await self.page.wait_for_url(re.compile(r"/c/[0-9a-f-]{36}$"))
        return self.page.url.rpartition("/")[2]
