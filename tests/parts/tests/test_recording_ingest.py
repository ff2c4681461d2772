import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
import sentry_sdk

from parts.envelopes import parse_envelope
from parts.recording_ingest import RecordingIngest
from parts.waiting import DeadlinePassed

TRACE = "a" * 32


@pytest.fixture
def ingest() -> Iterator[RecordingIngest]:
    with RecordingIngest() as ingest:
        yield ingest


def envelope(*items: tuple[str, bytes]) -> bytes:
    lines = [b'{"event_id":"1"}']
    for kind, payload in items:
        lines += [orjson.dumps({"type": kind, "length": len(payload)}), payload]
    return b"\n".join(lines) + b"\n"


def transaction(span_id: str, parent_id: str | None, process: str, **fields: Any) -> tuple[str, bytes]:
    context = {"trace_id": TRACE, "span_id": span_id, "parent_span_id": parent_id, "op": "http.server"}
    body = {"server_name": process, "transaction": "/here", "contexts": {"trace": context}, **fields}
    return "transaction", orjson.dumps(body)


async def post(ingest: RecordingIngest, body: bytes, **headers: str) -> httpx.Response:
    url = ingest.dsn.replace("0123456789abcdef0123456789abcdef@", "").removesuffix("/1") + "/api/1/envelope/"
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(url, content=body, headers=headers)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)],
)
async def test_an_envelope_is_read_in_each_encoding(ingest: RecordingIngest, encoding: str, packed: Any) -> None:
    body = envelope(("event", b'{"message":"one"}'), ("log", b'{"items":[]}'))
    response = await post(ingest, packed(body), **{"Content-Encoding": encoding})
    assert response.status_code == 200
    assert [(item.type, item.json) for item in ingest.items] == [("event", {"message": "one"}), ("log", {"items": []})]
    assert body in ingest.everything()


async def test_what_is_no_envelope_is_refused_and_noted(ingest: RecordingIngest) -> None:
    refused = [
        await post(ingest, b"not json\n"),
        await post(ingest, b'{}\n{"type":"event","length":99}\n{}'),
        await post(ingest, b"{}\n", **{"Content-Encoding": "br"}),
    ]
    assert [response.status_code for response in refused] == [400, 400, 400]
    assert len(ingest.unreadable) == 3


async def test_transactions_of_several_processes_are_one_tree(ingest: RecordingIngest) -> None:
    inner = {"trace_id": TRACE, "span_id": "2" * 16, "parent_span_id": "1" * 16, "op": "http.client"}
    sent = [
        transaction("3" * 16, "2" * 16, "chat"),
        transaction("1" * 16, None, "gateway", spans=[{**inner, "description": "POST /turns"}]),
    ]
    await post(ingest, envelope(*sent))
    trace = ingest.trace(TRACE)
    [accept] = trace.find("chat", "http.server")
    assert [(span.process, span.op) for span in trace.ancestors_of(accept)] == [
        ("gateway", "http.client"),
        ("gateway", "http.server"),
    ]
    assert trace.drawn().splitlines() == [
        f"trace {TRACE}",
        "  gateway http.server “/here”",
        "    gateway http.client “POST /turns”",
        "      chat http.server “/here”",
    ]


async def test_waiting_for_a_trace_in_vain_shows_the_trace(ingest: RecordingIngest) -> None:
    await post(ingest, envelope(transaction("1" * 16, None, "gateway")))
    with pytest.raises(DeadlinePassed, match=r"the other span[\s\S]*gateway http.server"):
        await ingest.wait_for_trace(TRACE, lambda t: t.find("chat", "http.server"), "the other span", timeout_s=0.05)


async def test_what_the_real_sdk_sends_is_understood(ingest: RecordingIngest) -> None:
    client = sentry_sdk.Client(
        dsn=ingest.dsn, server_name="here", traces_sample_rate=1.0, default_integrations=False, dist="1"
    )
    with sentry_sdk.isolation_scope() as isolation, sentry_sdk.new_scope() as scope:
        isolation.set_client(client)
        scope.set_client(client)
        with sentry_sdk.start_transaction(op="task", name="a job") as root:
            with sentry_sdk.start_span(op="db", name="SELECT 1"):
                pass
            sentry_sdk.capture_exception(ValueError("went wrong"))
    client.close(timeout=5)
    trace = ingest.trace(root.trace_id)
    assert [str(span) for span in trace.spans.values()] == ["here task “a job”", "here db “SELECT 1”"]
    assert [(e.process, e.type, e.value) for e in trace.errors] == [("here", "ValueError", "went wrong")]


def test_an_item_without_a_length_ends_with_its_line() -> None:
    _headers, items = parse_envelope(b'{}\n{"type":"session"}\n{"a":1}\n{"type":"event"}\n{"b":2}')
    assert [(item.type, item.json) for item in items] == [("session", {"a": 1}), ("event", {"b": 2})]


def test_a_compressed_replay_recording_can_be_searched() -> None:
    payload = b'{"segment_id":0}\n' + zlib.compress(b"[planted]")
    _headers, [item] = parse_envelope(envelope(("replay_recording", payload)))
    assert item.readable == b'{"segment_id":0}\n[planted]'
