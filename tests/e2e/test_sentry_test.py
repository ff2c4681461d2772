"""`/sentry-test`: an error on purpose, from any process, that can be found by what the answer says."""

import pytest

from e2e.hopline import Hopline
from e2e.person import Person
from local.process_table import SERVICES
from parts.waiting import until


@pytest.mark.parametrize("name", SERVICES)
async def test_the_error_of_a_process_arrives_once_under_the_ids_of_the_answer(
    hopline: Hopline, ada: Person, name: str
) -> None:
    answer = await ada.http.get("/sentry-test", params={"service": name})
    assert answer.status_code == 500
    told = answer.json()

    def found() -> bool:
        return any(event["event_id"] == told["event_id"] for event in hopline.ingest.items_of("event"))

    await until(found, f"the event of {name} has arrived")
    await hopline.all_telemetry_is_in(ada)
    trace_id = told["trace_id"]
    of_trace = [
        event for event in hopline.ingest.items_of("event") if event["contexts"]["trace"]["trace_id"] == trace_id
    ]
    [event] = of_trace
    assert (event["event_id"], event["server_name"]) == (told["event_id"], name)
    assert (event["environment"], event["transaction"]) == ("test", "/sentry-test")
    assert event["release"].startswith("hopline@")
    assert event["exception"]["values"][-1]["type"] == "DeliberateError"


async def test_a_process_that_is_not_there_is_refused_with_the_names_of_those_that_are(ada: Person) -> None:
    answer = await ada.http.get("/sentry-test", params={"service": "billing"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_service")
    assert all(name in answer.json()["detail"] for name in SERVICES)


async def test_it_is_not_there_where_nobody_has_enabled_it(hopline: Hopline, ada: Person) -> None:
    try:
        await hopline.restart("chat", env={"SENTRY_TEST_ENABLED": "false"})
        answer = await ada.http.get("/sentry-test", params={"service": "chat"})
        assert answer.status_code == 404
    finally:
        await hopline.restart("chat")
