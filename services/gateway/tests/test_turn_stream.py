"""A turn's stream over a real socket: entries from a real Redis, snapshots from chat."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from local.stack import Stack
from parts.event_stream import TurnReader, events_of
from parts.waiting import until
from wire.contracts.chat import Turn
from wire.ids import TurnId
from wire.redis_keys import turn_stream

from .conftest import Gateway
from .turns import USAGE, delta, end, entry, restart, turn

LOCAL = "00000000-0000-4000-8000-000000000001"


@asynccontextmanager
async def reading(gateway: Gateway, turn: Turn, *, last_event_id: str | None = None) -> AsyncGenerator["Reading"]:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    async with gateway.http.stream("GET", f"/api/turns/{turn.id}/events", headers=headers) as response:
        yield Reading(response)


class Reading:
    """A reader on an open stream, which reads as far as a test wants."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.reader = TurnReader()
        self._events = events_of(response)

    async def until_text(self, text: str) -> TurnReader:
        async with asyncio.timeout(20):
            while self.reader.text != text:
                self.reader.take(await anext(self._events))
        return self.reader

    async def to_end(self) -> TurnReader:
        async with asyncio.timeout(30):
            async for event in self._events:
                self.reader.take(event)
        return self.reader

    async def next_kind(self) -> str:
        async with asyncio.timeout(20):
            event = await anext(self._events)
        self.reader.take(event)
        return event.kind


async def test_a_message_streams_its_answer(gateway: Gateway) -> None:
    gateway.chat.next_turn = accepted = turn("queued", attempt=0, place=0)
    url = f"/api/conversations/{accepted.conversation_id}/turns"
    async with gateway.http.stream("POST", url, json={"text": "Hi"}, headers={"Idempotency-Key": "k1"}) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        reading = Reading(response)
        assert [await reading.next_kind(), await reading.next_kind()] == ["turn", "queued"]
        claim = entry(0, "turn", {**turn_ids(accepted), "attempt": 1, "state": "running"})
        await gateway.publish(accepted.id, claim, delta(1, 0, "Hel"), delta(2, 3, "lo"), end(3, 5))
        reader = await reading.to_end()
    assert (reader.text, reader.last_event_id) == ("Hello", "1-3")
    assert gateway.chat.last("POST", "/turns").body == {
        "conversation_id": accepted.conversation_id,
        "text": "Hi",
        "model": None,
        "parent_id": None,
        "idempotency_key": "k1",
    }


async def test_with_accept_json_the_answer_is_where_the_stream_is(gateway: Gateway) -> None:
    gateway.chat.next_turn = accepted = turn("queued", attempt=0)
    response = await gateway.http.post(
        f"/api/conversations/{accepted.conversation_id}/turns",
        json={"text": "Hi"},
        headers={"Accept": "application/json"},
    )
    assert (response.status_code, response.json()) == (
        202,
        {"turn_id": accepted.id, "events_url": f"/api/turns/{accepted.id}/events"},
    )


async def test_two_readers_of_one_turn_are_told_the_same(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn())
    await gateway.publish(running.id, delta(1, 0, "Hel"))
    async with reading(gateway, running) as first:
        await first.until_text("Hel")
        async with reading(gateway, running) as second:
            await second.until_text("Hel")
            await gateway.publish(running.id, delta(2, 3, "lo"), end(3, 5))
            readers = [await first.to_end(), await second.to_end()]
    assert [reader.text for reader in readers] == ["Hello", "Hello"]


async def test_a_reader_who_comes_back_goes_on_after_the_last_event(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn("running", "Hel"))
    await gateway.publish(running.id, delta(1, 0, "He"), delta(2, 2, "l"), delta(3, 3, "lo"), end(4, 5))
    async with reading(gateway, running, last_event_id="1-2") as again:
        kinds = [await again.next_kind()]
        again.reader.text = "Hel"
        reader = await again.to_end()
    assert kinds == ["turn"]
    assert [event.data for event in reader.events if event.kind == "delta"] == [{"offset": 3, "text": "lo"}]


async def test_an_id_of_an_attempt_that_never_was_brings_everything(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn())
    await gateway.publish(running.id, delta(1, 0, "Hello"), end(2, 5))
    async with reading(gateway, running, last_event_id="9-9") as stream:
        assert (await stream.to_end()).text == "Hello"


async def test_a_flushed_redis_leaves_no_gap(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn())
    async with reading(gateway, running) as stream:
        await gateway.publish(running.id, delta(1, 0, "He"))
        await stream.until_text("He")
        await gateway.redis.delete(turn_stream(TurnId(running.id)))
        gateway.chat.own(LOCAL, running.model_copy(update={"text": "Hello"}))
        await gateway.publish(running.id, delta(7, 4, "o"), delta(8, 5, "!"), end(9, 6))
        reader = await stream.to_end()
    assert (reader.text, reader.end and reader.end.kind) == ("Hello!", "end")


async def test_a_turn_that_ended_unheard_is_told_from_chat(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn())
    async with reading(gateway, running) as stream:
        await gateway.publish(running.id, delta(1, 0, "He"))
        await stream.until_text("He")
        ended = {"state": "complete", "text": "Hello", "finish_reason": "stop", "usage": USAGE}
        gateway.chat.own(LOCAL, running.model_copy(update=ended))
        reader = await stream.to_end()
    assert (reader.text, reader.kinds()) == ("Hello", ["turn", "delta", "usage", "end"])


async def test_a_take_over_replaces_the_text(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn())
    async with reading(gateway, running) as stream:
        await gateway.publish(running.id, delta(1, 0, "Hxl"))
        await stream.until_text("Hxl")
        gateway.chat.own(LOCAL, running.model_copy(update={"attempt": 2, "text": "H"}))
        await gateway.publish(running.id, restart(2, 1), delta(1, 1, "ello", attempt=2), end(2, 5, attempt=2))
        reader = await stream.to_end()
    assert (reader.text, reader.last_event_id) == ("Hello", "2-2")


async def test_a_turn_that_is_deleted_meanwhile_ends_with_an_error(gateway: Gateway) -> None:
    queued = gateway.chat.own(LOCAL, turn("queued", attempt=0, place=1))
    async with reading(gateway, queued) as stream:
        assert await stream.next_kind() == "turn"
        del gateway.chat.turns[queued.id]
        reader = await stream.to_end()
    assert reader.end is not None
    assert (reader.end.kind, reader.end.data["code"]) == ("error", "not_found")


async def test_somebody_elses_turn_is_not_found(gateway: Gateway) -> None:
    theirs = gateway.chat.own("somebody else", turn())
    response = await gateway.http.get(f"/api/turns/{theirs.id}/events")
    unknown = await gateway.http.get(f"/api/turns/{turn().id}/events")
    malformed = await gateway.http.get("/api/turns/1/events")
    bodies = [{**r.json(), "trace_id": ""} for r in (response, unknown, malformed)]
    assert [response.status_code, unknown.status_code, malformed.status_code] == [404, 404, 404]
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize("bad", ["1", "x-1", "1-", "-1-2", "9" * 30 + "-1"])
async def test_a_last_event_id_of_another_kind_is_refused(gateway: Gateway, bad: str) -> None:
    running = gateway.chat.own(LOCAL, turn())
    response = await gateway.http.get(f"/api/turns/{running.id}/events", headers={"Last-Event-ID": bad})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "Last-Event-ID")


async def test_a_drain_ends_streams_without_a_terminal_event(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn())
    async with reading(gateway, running) as stream:
        await gateway.publish(running.id, delta(1, 0, "He"))
        await stream.until_text("He")
        gateway.drain()
        reader = await stream.to_end()
    assert reader.end is None
    assert (await gateway.http.get("/readyz")).status_code == 503


async def test_a_reader_who_leaves_is_forgotten(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn())
    async with reading(gateway, running) as stream:
        await stream.next_kind()
    async with reading(gateway, running) as stream:
        await gateway.publish(running.id, delta(1, 0, "Hello"), end(2, 5))
        assert (await stream.to_end()).text == "Hello"
    assert gateway.chat.stopped == []


async def test_without_redis_an_answer_goes_on_from_chat(gateway: Gateway, stack: Stack) -> None:
    running = gateway.chat.own(LOCAL, turn())
    async with reading(gateway, running) as stream:
        await gateway.publish(running.id, delta(1, 0, "He"))
        await stream.until_text("He")
        await asyncio.to_thread(stack.kill, "valkey")
        try:
            gateway.chat.own(LOCAL, running.model_copy(update={"text": "Hell"}))
            await stream.until_text("Hell")
            ended = {"state": "complete", "text": "Hello", "finish_reason": "stop"}
            gateway.chat.own(LOCAL, running.model_copy(update=ended))
            reader = await stream.to_end()
        finally:
            await asyncio.to_thread(stack.start, "valkey")
    assert reader.text == "Hello"
    await until(lambda: redis_is_back(gateway), "the gateway reads Redis again")


async def test_while_chat_is_away_redis_goes_on(gateway: Gateway) -> None:
    running = gateway.chat.own(LOCAL, turn())
    async with reading(gateway, running) as stream:
        await stream.next_kind()
        await asyncio.to_thread(gateway.chat_server.stop)
        await gateway.publish(running.id, delta(1, 0, "Hello"), end(2, 5))
        assert (await stream.to_end()).text == "Hello"


async def test_a_first_delta_does_not_wait_for_the_reader_of_redis(gateway: Gateway) -> None:
    """The reader of Redis waits for seconds; a new turn joins its wait. The deadline is far below that wait."""
    other = gateway.chat.own(LOCAL, turn())
    async with reading(gateway, other) as idle:
        await idle.next_kind()
        for _ in range(5):
            running = gateway.chat.own(LOCAL, turn())
            async with reading(gateway, running) as stream:
                await stream.next_kind()
                started = time.monotonic()
                await gateway.publish(running.id, delta(1, 0, "Hello"))
                async with asyncio.timeout(2):
                    await stream.until_text("Hello")
                assert time.monotonic() - started < 2


async def redis_is_back(gateway: Gateway) -> bool:
    running = gateway.chat.own(LOCAL, turn())
    try:
        await gateway.publish(running.id, delta(1, 0, "Hello"), end(2, 5))
    except Exception:
        return False
    async with reading(gateway, running) as stream:
        return (await stream.to_end()).text == "Hello"


def turn_ids(turn: Turn) -> dict[str, str]:
    return {
        "turn_id": turn.id,
        "conversation_id": turn.conversation_id,
        "message_id": turn.id,
        "person_message_id": turn.person_message_id,
        "model": turn.model,
        "trace_id": "",
    }
