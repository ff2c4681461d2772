"""One message is one trace, over every hop, whether it goes well or not."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import pytest

from e2e.edges import COUNTING, LEDGER_RECORDS, MESSAGE, SWITCH, SWITCH_COMPLETED, Edge, missing_edges
from e2e.faults import a_ledger_that_refuses, completions_are_refused, messages_are_refused
from e2e.hopline import Hopline, PageTrace
from e2e.models import DEFAULT, OTHER
from e2e.person import Person
from parts.plans import Break, Plan, Refuse, Say, plan, says
from parts.scripted_provider import ScriptedProvider
from parts.traces import PAGE, SpanRecord, Trace

TRACE_HEADERS = ("sentry-trace", "baggage", "traceparent", "tracestate")


def with_page(trace: Trace, page: PageTrace, name: str) -> Trace:
    """The trace with the span of the page's request, which these tests stand in for."""
    span = SpanRecord(page.trace_id, page.span_id, None, PAGE, "http.client", name, None, is_transaction=False, data={})
    return Trace(trace.trace_id, {**trace.spans, span.span_id: span}, trace.errors)


@dataclass(frozen=True)
class Case:
    """One way in which a message may go."""

    answers: Plan
    end: str
    """The kind of the stream's terminal event."""
    errors: tuple[tuple[str, str], ...] = ()
    """`(server_name, exception)` of every error event that the trace must hold."""
    ledger_fails: bool = False


CASES = {
    "success": Case(says("All of it went well"), end="end"),
    "the provider refuses": Case(plan(Refuse(500)), end="error", errors=(("chat-worker", "ProviderFailed"),)),
    "the provider breaks off": Case(
        plan(Say("So far"), Break()), end="error", errors=(("chat-worker", "ProviderCut"),)
    ),
    "a job fails": Case(
        says("The ledger will refuse this"),
        end="end",
        errors=(("tracking-worker", "DBAPIError"),),
        ledger_fails=True,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_message_is_one_trace_with_every_edge_and_one_error_a_failure(
    hopline: Hopline, ada: Person, prompt: str, case: Case
) -> None:
    hopline.provider.on(prompt, case.answers)
    conversation = await ada.new_conversation()
    page = PageTrace()
    async with a_ledger_that_refuses(hopline, conversation) if case.ledger_fails else nullcontext():
        answer = await ada.answer(conversation, prompt, headers=page.headers)
        await hopline.ingest.wait_for_trace(
            page.trace_id, lambda t: t.find(LEDGER_RECORDS.process, LEDGER_RECORDS.op), "the ledger's job"
        )
    assert answer.end is not None
    assert answer.end.kind == case.end
    assert answer.turn is not None
    assert answer.turn["trace_id"] == page.trace_id
    await ada.counted(conversation, 1)  # a ledger that refused has its row now too
    await hopline.all_telemetry_is_in(ada)

    trace = with_page(hopline.ingest.trace(page.trace_id), page, "POST /turns")
    assert missing_edges(trace, MESSAGE) == [], trace.drawn()
    assert trace.processes == {PAGE, "gateway", "chat", "chat-worker", "tracking-worker"}
    assert [(error.process, error.type) for error in trace.errors] == list(case.errors), trace.drawn()
    assert all(error.span_id in trace.spans for error in trace.errors), trace.drawn()


async def test_a_message_that_can_not_be_written_is_one_error_where_it_happened(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    conversation = await ada.new_conversation()
    page = PageTrace()
    async with messages_are_refused(hopline, that_say=prompt):
        response = await ada.http.post(
            f"/api/conversations/{conversation}/turns", json={"text": prompt}, headers=page.headers
        )
    await hopline.all_telemetry_is_in(ada)
    trace = hopline.ingest.trace(page.trace_id)
    assert response.status_code == 500
    assert response.json()["trace_id"] == page.trace_id
    assert [(error.process, error.type) for error in trace.errors] == [("chat", "IntegrityError")], trace.drawn()


async def test_an_answer_that_can_not_be_saved_is_one_error_where_it_happened(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    conversation = await ada.new_conversation()
    page = PageTrace()
    async with completions_are_refused(hopline, conversation):
        answer = await ada.answer(conversation, prompt, headers=page.headers)
    await hopline.all_telemetry_is_in(ada)
    trace = hopline.ingest.trace(page.trace_id)
    assert answer.end is not None
    assert (answer.end.kind, answer.end.data["code"]) == ("error", "internal_error")
    assert [(error.process, error.type) for error in trace.errors] == [("chat-worker", "IntegrityError")], trace.drawn()


async def test_a_model_switch_is_one_trace_and_its_end_is_in_the_trace_of_the_message(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    conversation = await ada.new_conversation(DEFAULT)
    switching, asking = PageTrace(), PageTrace()
    response = await ada.http.post(
        f"/api/conversations/{conversation}/model", json={"model": OTHER}, headers=switching.headers
    )
    assert response.status_code == 200
    await ada.answer(conversation, prompt, headers=asking.headers)

    def has_all(edges: tuple[Edge, ...], page: PageTrace, name: str) -> Callable[[Trace], bool]:
        return lambda trace: missing_edges(with_page(trace, page, name), edges) == []

    await hopline.ingest.wait_for_trace(
        switching.trace_id, has_all(SWITCH, switching, "POST /model"), "every edge of a switch"
    )
    await hopline.ingest.wait_for_trace(
        asking.trace_id, has_all((*MESSAGE, *SWITCH_COMPLETED), asking, "POST /turns"), "every edge of its end"
    )


async def test_trace_headers_never_reach_the_provider(provider: ScriptedProvider, ada: Person, prompt: str) -> None:
    await ada.answer(await ada.new_conversation(), prompt, headers=PageTrace().headers)
    assert provider.calls_for(prompt) != []
    leaked = {name for call in provider.calls for name in call.headers if name in TRACE_HEADERS}
    assert leaked == set()


async def test_a_trace_that_was_not_sampled_at_its_start_is_not_sampled_at_any_hop(
    hopline: Hopline, ada: Person, prompt: str
) -> None:
    conversation = await ada.new_conversation()
    page = PageTrace(sampled=False)
    await ada.answer(conversation, prompt, headers=page.headers)
    await ada.switch(conversation, OTHER)
    await ada.counted(conversation, 1)
    await hopline.all_telemetry_is_in(ada)
    assert hopline.ingest.trace(page.trace_id).spans == {}


async def test_a_forged_yes_samples_nothing_and_a_yes_of_our_own_page_does(
    hopline: Hopline, ada_key: str, ada: Person, prompt: str
) -> None:
    """At a gateway whose own rate is nought, so that nothing but the header speaks for sampling."""
    own, forged = PageTrace(), PageTrace()
    async with hopline.another_gateway({"SENTRY_TRACES_SAMPLE_RATE": "0"}, ada_key) as guest:
        conversation = await guest.new_conversation()
        without_proof = {name: value for name, value in forged.headers.items() if name != "Sec-Fetch-Site"}
        await guest.answer(conversation, f"{prompt} Forged.", headers=without_proof)
        await guest.answer(conversation, f"{prompt} Our own.", headers=own.headers)
        await hopline.ingest.wait_for_trace(own.trace_id, lambda t: missing_edges(t, COUNTING) == [], "our own trace")
    await hopline.all_telemetry_is_in(ada)
    assert hopline.ingest.trace(forged.trace_id).spans == {}
