"""What a crash, a flushed Redis or a tracking service that was away left behind is made good."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from chat.accept_turn import Accepting
from chat.claim_turn import Claim, claim_turn
from chat.conversations import change_conversation
from chat.process_chat_message import Answering
from chat.stop_turn import stop_turn
from chat.stores import turn_store
from chat.sweep import GIVEN_UP, Sweep
from wire.contracts.chat import ConversationChange
from wire.contracts.jobs import COMPLETE_MODEL_SWITCH, RECORD_USAGE, REPLY
from wire.database import Database, DatabaseUnavailable
from wire.ids import ConversationId, PersonId, TurnId, new_id
from wire.queue import Queue
from wire.redis_keys import CHAT_QUEUE, TRACKING_QUEUE, turn_stream
from wire.telemetry.spans import background_transaction, current_trace_id

pytestmark = pytest.mark.usefixtures("empty_database")


@pytest.fixture
def expired(answering: Answering, ask: Any, rows: Any) -> Callable[..., Any]:
    """A turn whose worker died in its `attempt`, with this text checkpointed and its lease over."""

    async def expired(attempt: int = 1, said: str = "half an ans", **fields: Any) -> Claim:
        accepted = await ask("Hi", **fields)
        await rows.change("UPDATE turns SET attempt = :n WHERE id = :id", id=accepted.id, n=attempt - 1)
        claim = await claim_turn(answering.database, answering.catalogue, TurnId(accepted.id), "dead")
        assert claim is not None
        await rows.change("UPDATE turns SET partial_text = :said WHERE id = :id", id=claim.turn, said=said)
        await rows.end_lease(claim.turn)
        return claim

    return expired


async def told(keys: Any, turn: str) -> int:
    return len(await keys.jobs(CHAT_QUEUE, turn_id=turn))


async def test_a_turn_whose_lease_has_ended_is_queued_again_and_a_worker_is_told(
    sweep: Sweep, expired: Any, rows: Any, keys: Any
) -> None:
    claim = await expired()
    before = await told(keys, claim.turn)
    await sweep.turns()
    row = await rows.turn(claim.turn)
    assert (row.state, row.attempt, row.lease_until, row.partial_text) == ("queued", 1, None, "half an ans")
    assert await told(keys, claim.turn) == before + 1
    assert [call.state for call in await rows.calls(claim.turn)] == ["open"]  # the next claim settles it


async def test_a_turn_whose_lease_is_good_is_left_alone(
    sweep: Sweep, answering: Answering, ask: Any, rows: Any
) -> None:
    accepted = await ask("Hi")
    await claim_turn(answering.database, answering.catalogue, TurnId(accepted.id), "alive")
    before = await rows.turn(accepted.id)
    await sweep.turns()
    assert await rows.turn(accepted.id) == before


async def test_the_job_of_a_turn_that_is_queued_again_goes_on_with_the_trace_of_then(
    sweep: Sweep, expired: Any, keys: Any, sentry: Any
) -> None:
    with background_transaction("accepts"):
        trace_id = current_trace_id()
        claim = await expired()
    await sweep.turns()
    jobs = await keys.jobs(CHAT_QUEUE, turn_id=claim.turn)
    assert [(name, envelope.trace["sentry-trace"].split("-")[0]) for name, envelope in jobs] == [
        (REPLY, trace_id),
        (REPLY, trace_id),
    ]


async def test_after_the_third_attempt_the_turn_has_failed_with_the_text_so_far(
    sweep: Sweep, expired: Any, rows: Any, keys: Any, redis: Any
) -> None:
    claim = await expired(attempt=3)
    await sweep.turns()
    row = await rows.turn(claim.turn)
    assert (row.state, row.attempt, row.error, row.lease_until) == ("failed", 3, GIVEN_UP.model_dump(), None)
    [_, answer] = await rows.messages(claim.conversation)
    assert (answer.id, answer.text, answer.parent_id) == (claim.turn, "half an ans", claim.person_message)
    [call] = await rows.calls(claim.turn)
    assert (call.state, call.output_tokens) == ("aborted", 3)
    assert [(event.event_id, event.job) for event in await rows.outbox(claim.turn)] == [(call.id, RECORD_USAGE)]
    assert await keys.stream(claim.turn) == [("3-0", "error", {**GIVEN_UP.model_dump(), "length": 11})]
    assert 0 < await redis.ttl(turn_stream(claim.turn)) <= 600


async def test_the_end_of_a_turn_that_is_given_up_comes_after_all_that_its_stream_holds(
    sweep: Sweep, expired: Any, keys: Any, redis: Any
) -> None:
    claim = await expired(attempt=3)
    await redis.xadd(turn_stream(claim.turn), {"e": "delta", "d": "{}"}, id="3-41")
    await sweep.turns()
    assert [entry_id for entry_id, _, _ in await keys.stream(claim.turn)] == ["3-41", "3-42"]


async def test_a_given_up_turn_whose_text_is_refused_ends_without_it_and_holds_up_no_other(
    sweep: Sweep, expired: Any, rows: Any, keys: Any
) -> None:
    refused, other = await expired(attempt=3), await expired(attempt=3)
    await rows.change(
        f"""ALTER TABLE messages ADD CONSTRAINT refused
            CHECK (id <> '{refused.turn}' OR text = '') NOT VALID"""
    )
    try:
        await sweep.turns()
    finally:
        await rows.change("ALTER TABLE messages DROP CONSTRAINT refused")
    texts = [(await rows.messages(claim.conversation))[-1].text for claim in (refused, other)]
    assert texts == ["", "half an ans"]
    assert [(await rows.turn(claim.turn)).state for claim in (refused, other)] == ["failed", "failed"]
    assert await keys.stream(refused.turn) == [("3-0", "error", {**GIVEN_UP.model_dump(), "length": 0})]


async def test_a_turn_that_is_given_up_is_reported_once_in_its_own_trace(
    sweep: Sweep, expired: Any, sentry: Any
) -> None:
    with background_transaction("accepts"):
        trace_id = current_trace_id()
        await expired(attempt=3)
    await sweep.turns()
    await sweep.turns()
    assert sentry.errors() == [(trace_id, "TurnGivenUp")]


async def test_a_turn_that_is_given_up_fails_the_switch_that_waited_for_it(
    accepting: Accepting, sweep: Sweep, expired: Any, ask: Any, rows: Any, owner: PersonId
) -> None:
    first = await expired(attempt=3)
    await sweep.turns()
    switch_id = new_id()
    change = ConversationChange(model="beta", switch_id=switch_id)
    await change_conversation(
        accepting.database, accepting.catalogue, owner, ConversationId(first.conversation), change
    )
    claim = await expired(attempt=3, conversation_id=first.conversation)
    await sweep.turns()
    [completed] = [event for event in await rows.outbox(claim.turn) if event.job == COMPLETE_MODEL_SWITCH]
    assert (completed.event_id, completed.payload["outcome"]) == (f"{switch_id}:completed", "failed")
    following = await ask("And then?", conversation_id=first.conversation)
    assert (await rows.turn(following.id)).switch is None


async def test_a_stop_reaches_a_turn_whose_worker_has_died(
    sweep: Sweep, expired: Any, rows: Any, keys: Any, redis: Any, owner: PersonId
) -> None:
    claim = await expired()
    await stop_turn(sweep.database, redis, owner, claim.turn)
    await sweep.turns()
    row = await rows.turn(claim.turn)
    assert (row.state, row.attempt, row.finish_reason, row.error) == ("stopped", 1, "stop", None)
    assert (await rows.messages(claim.conversation))[1].text == "half an ans"
    assert [call.state for call in await rows.calls(claim.turn)] == ["aborted"]
    assert await keys.stream(claim.turn) == [
        ("1-0", "end", {"state": "stopped", "length": 11, "finish_reason": "stop"})
    ]


async def test_a_stop_reaches_a_turn_that_was_handed_over(
    sweep: Sweep, answering: Answering, ask: Any, rows: Any, redis: Any, owner: PersonId
) -> None:
    accepted = await ask("Hi")
    await claim_turn(answering.database, answering.catalogue, TurnId(accepted.id), "ending")
    await stop_turn(sweep.database, redis, owner, TurnId(accepted.id))
    async with sweep.database.transaction() as connection:
        assert await turn_store.hand_over(connection, TurnId(accepted.id), 1, "so far")
    await sweep.turns()
    assert (await rows.turn(accepted.id)).state == "stopped"


async def test_a_queued_turn_that_nobody_was_told_of_for_a_while_is_told_again(
    sweep: Sweep, ask: Any, rows: Any, keys: Any
) -> None:
    fresh, forgotten = await ask("Hi"), await ask("Hi")
    await rows.change("UPDATE turns SET enqueued_at = now() - interval '6 seconds' WHERE id = :id", id=forgotten.id)
    await sweep.turns()
    await sweep.turns()
    assert (await told(keys, fresh.id), await told(keys, forgotten.id)) == (1, 2)


async def test_with_redis_away_turns_are_queued_again_and_told_of_later(
    sweep: Sweep, expired: Any, rows: Any, queue_away: Queue, redis_away: Any
) -> None:
    first, last = await expired(), await expired(attempt=3)
    await replace(sweep, own_queue=queue_away, redis=redis_away).turns()
    assert ((await rows.turn(first.turn)).state, (await rows.turn(last.turn)).state) == ("queued", "failed")


async def test_without_the_database_nothing_is_swept(
    sweep: Sweep, expired: Any, rows: Any, database_by_relay: Database, postgres_relay: Any
) -> None:
    claim = await expired()
    await postgres_relay.cut()
    with pytest.raises(DatabaseUnavailable):
        await replace(sweep, database=database_by_relay).turns()
    assert (await rows.turn(claim.turn)).state == "running"


@pytest.fixture
async def waiting(sweep: Sweep, expired: Any, rows: Any) -> list[str]:
    """The ids of two events that were sent a while ago, of calls that were aborted."""
    with background_transaction("ends"):
        for _ in range(2):
            await expired(attempt=3)
        await sweep.turns()
    await rows.change("UPDATE outbox SET sent_at = now() - interval '11 seconds'")
    return [event.event_id for event in await events(rows)]


async def events(rows: Any) -> list[Any]:
    async with rows.database.transaction() as connection:
        return list((await connection.exec_driver_sql("SELECT * FROM outbox ORDER BY event_id")).all())


async def sent(keys: Any, event_id: str) -> list[Any]:
    return [envelope for _, envelope in await keys.jobs(TRACKING_QUEUE, event_id=event_id)]


async def test_what_tracking_holds_is_deleted_and_what_it_does_not_is_sent_again(
    sentry: Any, sweep: Sweep, tracking: Any, waiting: list[str], rows: Any, keys: Any
) -> None:
    [held, missing] = waiting
    tracking.holds = {held}
    await sweep.outbox()
    [kept] = await events(rows)
    [question] = tracking.questions
    assert (sorted(question), kept.event_id) == (waiting, missing)
    assert await sent(keys, held) == []
    [envelope] = await sent(keys, missing)
    assert envelope.payload == kept.payload
    assert envelope.trace["sentry-trace"].split("-")[0] == kept.trace["sentry-trace"].split("-")[0]


async def test_an_event_that_was_just_sent_is_not_asked_for(
    sweep: Sweep, tracking: Any, waiting: list[str], rows: Any
) -> None:
    await rows.change("UPDATE outbox SET sent_at = now()")
    await sweep.outbox()
    assert (tracking.questions, len(await events(rows))) == ([], 2)


async def test_an_event_that_was_sent_again_has_its_time(
    sweep: Sweep, tracking: Any, waiting: list[str], rows: Any, keys: Any
) -> None:
    await sweep.outbox()
    await sweep.outbox()
    assert len(tracking.questions) == 1
    assert [len(await sent(keys, event_id)) for event_id in waiting] == [1, 1]


@pytest.mark.parametrize("trouble", [{"is_away": True}, {"status": 503}])
async def test_while_tracking_is_away_the_events_stay(
    sweep: Sweep, tracking: Any, waiting: list[str], rows: Any, keys: Any, trouble: dict[str, Any]
) -> None:
    for name, value in trouble.items():
        setattr(tracking, name, value)
    with pytest.raises(httpx.HTTPError):
        await sweep.outbox()
    assert [event.event_id for event in await events(rows)] == waiting
    assert await sent(keys, waiting[0]) == []


async def test_while_redis_is_away_the_events_stay(
    sweep: Sweep, waiting: list[str], rows: Any, queue_away: Queue
) -> None:
    await replace(sweep, tracking_queue=queue_away).outbox()
    assert [event.event_id for event in await events(rows)] == waiting


@pytest.mark.parametrize(("job", "payload"), [("a_job_of_tomorrow", "{}"), (RECORD_USAGE, '{"event_id": 7}')])
async def test_an_event_of_a_newer_release_is_left_to_it_and_holds_up_no_other(
    sweep: Sweep, waiting: list[str], rows: Any, keys: Any, job: str, payload: str
) -> None:
    await rows.change(
        """
        INSERT INTO outbox (event_id, job, payload, trace, sent_at)
        VALUES ('0', :job, CAST(:payload AS jsonb), '{}', now() - interval '1 hour')
        """,
        job=job,
        payload=payload,
    )
    await sweep.outbox()
    assert [event.event_id for event in await events(rows)] == ["0", *waiting]
    assert [len(await sent(keys, event_id)) for event_id in waiting] == [1, 1]


async def test_a_large_outbox_is_asked_for_in_parts(sweep: Sweep, tracking: Any, rows: Any) -> None:
    await rows.change(
        """
        INSERT INTO outbox (event_id, job, payload, trace, sent_at)
        SELECT n::text, 'record_usage', '{}', '{}', now() - interval '1 hour' FROM generate_series(1, 700) AS n
        """
    )
    tracking.holds = {str(n) for n in range(1, 701)}
    await sweep.outbox()
    await sweep.outbox()
    assert [len(ids) for ids in tracking.questions] == [500, 200]
    assert await events(rows) == []
