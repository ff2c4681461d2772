"""A provider that costs next to nothing: `python -m bench.scripted_model PORT`.

A model's name is its script. `200` streams 200 tokens as fast as they are taken, `200-at-20` 20 of them a second. Each
token is a write of its own, as OpenAI's are; what is written was encoded once.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from functools import cache

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
    b"connection: keep-alive\r\n\r\n"
)
PROMPT_TOKENS = 10
WORD = "word "


async def serve(port: int) -> None:
    server = await asyncio.start_server(_answer_all, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


def script_of(model: str) -> tuple[int, int | None]:
    """How many tokens, and how many a second."""
    tokens, _, rate = model.partition("-at-")
    return int(tokens), int(rate) if rate else None


async def _answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = json.loads(await reader.readexactly(_content_length(head)))
            await _stream(writer, body["model"])
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _stream(writer: asyncio.StreamWriter, model: str) -> None:
    begin, token, end = _encoded(model)
    tokens, rate = script_of(model)
    clock = asyncio.get_running_loop().time
    writer.write(begin)
    start = clock()
    for number in range(tokens):
        if rate is not None and (wait_s := start + number / rate - clock()) > 0:
            await asyncio.sleep(wait_s)
        writer.write(token)
        await writer.drain()
    writer.write(end)
    await writer.drain()


@cache
def _encoded(model: str) -> tuple[bytes, bytes, bytes]:
    chunk = _chunker(model)
    tokens, _ = script_of(model)
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}
    last = _http_chunk(_data(model, [], usage)) + _http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return (
        HEAD + chunk({"role": "assistant", "content": ""}, None),
        chunk({"content": WORD}, None),
        chunk({}, "stop") + last,
    )


def _chunker(model: str) -> Callable[[dict[str, str], str | None], bytes]:
    def chunk(delta: dict[str, str], reason: str | None) -> bytes:
        return _http_chunk(_data(model, [{"index": 0, "delta": delta, "finish_reason": reason}], None))

    return chunk


def _data(model: str, choices: list[dict[str, object]], usage: dict[str, int] | None) -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model,
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":", 1)[1])
    return 0


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
