"""Sentry's envelope format, read: a line of headers, then items, each a line of headers and a payload.

See: https://develop.sentry.dev/sdk/data-model/envelopes/
"""

import gzip
import zlib
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Item:
    type: str
    payload: bytes

    @property
    def json(self) -> dict[str, Any]:
        return orjson.loads(self.payload)

    @property
    def readable(self) -> bytes:
        """The payload with a replay's compressed recording unpacked: what a search for planted text looks through."""
        if self.type != "replay_recording":
            return self.payload
        head, _, recording = self.payload.partition(b"\n")
        try:
            return head + b"\n" + zlib.decompress(recording)
        except zlib.error:
            return self.payload


def unpacked(body: bytes, encoding: str) -> bytes:
    """The body as it was before its content encoding.

    Raises:
        ValueError: an encoding that this ingest does not take.
    """
    match encoding.lower():
        case "" | "identity":
            return body
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case _:
            raise ValueError(f"not an encoding that is taken here: {encoding}")


def parse_envelope(body: bytes) -> tuple[dict[str, Any], list[Item]]:
    """The envelope's headers and its items, in order.

    Raises:
        ValueError: it is not an envelope.
    """
    head, position = _line(body, 0)
    headers: dict[str, Any] = orjson.loads(head)
    items: list[Item] = []
    while position < len(body):
        line, position = _line(body, position)
        if not line.strip():
            continue
        item: dict[str, Any] = orjson.loads(line)
        length: int | None = item.get("length")
        if length is None:
            payload, position = _line(body, position)
        else:
            if position + length > len(body):
                raise ValueError("an item is longer than its envelope")
            payload = body[position : position + length]
            position += length
        items.append(Item(type=str(item["type"]), payload=payload))
    return headers, items


def _line(body: bytes, start: int) -> tuple[bytes, int]:
    """The line that starts there, and where the next one does."""
    end = body.find(b"\n", start)
    return (body[start:], len(body)) if end < 0 else (body[start:end], end + 1)
