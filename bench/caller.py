"""A caller of `/v1/chat/completions` that costs little: a raw socket, HTTP taken apart in C, no JSON parsed."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

from bench.scripted_model import WORD

TOKEN = json.dumps(WORD)[1:-1].encode()
DONE = b"data: [DONE]"
ANSWER_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Answer:
    """One answer as its caller saw it; times in seconds."""

    time_to_first_token: float = 0.0
    duration: float = 0.0
    words: int = 0
    arrivals: list[float] = field(default_factory=list[float])

    @property
    def longest_gap(self) -> float:
        return max((b - a for a, b in zip(self.arrivals, self.arrivals[1:], strict=False)), default=0.0)


class _Body:
    """What httptools calls: the body without the frames that HTTP puts around its pieces."""

    def __init__(self) -> None:
        self.news = b""
        self.is_whole = False

    def on_body(self, piece: bytes) -> None:
        self.news += piece

    def on_message_complete(self) -> None:
        self.is_whole = True


async def ask(url: str, model: str) -> Answer:
    """The whole answer of one call.

    Raises:
        AssertionError: it was no whole answer.
    """
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        return await _ask(url, model)


async def ask_many(url: str, model: str, *, at_once: int, rounds: int) -> list[Answer]:
    """`at_once` callers, each asking `rounds` times, one after another."""

    async def caller() -> list[Answer]:
        return [await ask(url, model) for _ in range(rounds)]

    return [answer for answers in await asyncio.gather(*(caller() for _ in range(at_once))) for answer in answers]


async def _ask(url: str, model: str) -> Answer:
    parts = urlsplit(url)
    answer, body = Answer(), _Body()
    parser = httptools.HttpResponseParser(body)
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    try:
        writer.write(_request(parts.netloc, f"{parts.path}/chat/completions", model))
        rest, was_done = b"", False
        while not body.is_whole:
            data = await reader.read(65536)
            assert data, "the connection ended before the answer did"
            body.news = rest
            parser.feed_data(data)
            now = time.perf_counter() - start
            words = body.news.count(TOKEN)
            if words:
                answer.time_to_first_token = answer.time_to_first_token or now
                answer.words += words
                answer.arrivals.append(now)
            was_done = was_done or DONE in body.news
            rest = _rest(body.news)
        answer.duration = time.perf_counter() - start
        assert was_done, "the answer ended without saying so"
    finally:
        writer.close()
    return answer


def _request(host: str, path: str, model: str) -> bytes:
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Say something."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer bench\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _rest(news: bytes) -> bytes:
    """What a word or the end that is split between two reads may begin with; no whole word is in it."""
    end = news[-(len(DONE) - 1) :]
    cut = end.rfind(TOKEN)
    return end if cut < 0 else end[cut + len(TOKEN) :]
