"""A caller of `/v1/chat/completions` that costs little: raw sockets, no JSON parsed."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.scripted_model import WORD

FIRST_WORD = json.dumps(WORD)[1:-1].encode()
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
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Say something."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    path = f"{parts.path}/chat/completions"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer bench\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    answer = Answer()
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    try:
        writer.write(head.encode() + body)
        tail = b""
        while True:
            data = await reader.read(65536)
            assert data, "the connection ended before the answer did"
            now = time.perf_counter() - start
            words = (tail + data).count(FIRST_WORD)
            if words:
                answer.time_to_first_token = answer.time_to_first_token or now
                answer.words += words
                answer.arrivals.append(now)
            if DONE in tail + data:
                break
            tail = _tail(tail + data)
        answer.duration = time.perf_counter() - start
    finally:
        writer.close()
    return answer


def _tail(data: bytes) -> bytes:
    """What a word or the end that is split between two reads may begin with; no whole word is in it."""
    end = data[-(len(DONE) - 1) :]
    cut = end.rfind(FIRST_WORD)
    return end if cut < 0 else end[cut + len(FIRST_WORD) :]
