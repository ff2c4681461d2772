"""A prompt, an answer or a provider's key is in no log line and in nothing that is sent to Sentry.

Everything that is planted below bears one mark. It goes through every way out that failed at some time somewhere:
success, a provider that quotes the prompt in its error, a request that is refused, a database that quotes the row.
"""

from uuid import uuid4

import httpx
import pytest

from e2e.faults import messages_are_refused
from e2e.hopline import Hopline, PageTrace
from e2e.models import DEFAULT, RETRYING
from e2e.person import Person
from parts.plans import Break, CallTool, Garbage, Reason, Refuse, Say, plan, says


@pytest.fixture(scope="module")
async def mark(hopline: Hopline, ada: Person) -> str:
    """All that is planted has been through, and everything reported of it is at the ingest."""
    mark = f"planted{uuid4().hex}"
    await plant_in_success(hopline, ada, mark)
    await plant_in_failures_of_the_provider(hopline, ada, mark)
    await plant_in_refused_requests(hopline, mark)
    await plant_in_a_failing_database(hopline, ada, mark)
    await hopline.all_telemetry_is_in(ada)
    return mark


async def plant_in_success(hopline: Hopline, ada: Person, mark: str) -> None:
    prompt = f"{mark} prompt"
    hopline.provider.on(prompt, plan(Reason(f"{mark} thought"), Say(f"{mark} answer")))
    conversation = await ada.new_conversation()
    await ada.answer(conversation, prompt, headers=PageTrace().headers)
    await ada.http.patch(f"/api/conversations/{conversation}", json={"title": f"{mark} title"})
    await ada.http.get(f"/api/conversations?q={mark}-query", headers=PageTrace().headers)
    tool_prompt = f"{mark} tool prompt"
    hopline.provider.on(tool_prompt, plan(CallTool("call_1", "look", f'{{"at": "{mark} argument"}}')))
    history = [{"role": "system", "content": f"{mark} system"}, {"role": "user", "content": tool_prompt}]
    response = await ada.http.post(
        "/v1/chat/completions", json={"model": DEFAULT, "messages": history, "user": f"{mark} user"}
    )
    assert response.status_code == 200, response.text


async def plant_in_failures_of_the_provider(hopline: Hopline, ada: Person, mark: str) -> None:
    failures = {
        "quotes": plan(Refuse(400, f"Your prompt {mark} prompt is bad")),
        "key": plan(Refuse(401, f"Incorrect API key provided: {hopline.provider_key}")),
        "fails": plan(Refuse(500, f"Crashed on {mark} prompt")),
        "fails late": plan(Say(f"{mark} answer"), Refuse(500, f"Crashed on {mark} prompt")),
        "breaks off": plan(Say(f"{mark} answer"), Break()),
        "garbage": plan(Say(f"{mark} answer"), Garbage(f'data: {{"choices": "{mark} garbage"')),
        "wrong shape": plan(Garbage(f'data: {{"choices": "{mark} garbage"}}')),
    }
    for name, plans in failures.items():
        prompt = f"{mark} prompt of {name}"
        hopline.provider.on(prompt, plans)
        answer = await ada.answer(await ada.new_conversation(), prompt, headers=PageTrace().headers)
        assert answer.end is not None
        assert answer.end.kind == "error", name
        assert mark not in answer.end.data["message"], "what the provider says is not what a person reads"
        assert hopline.provider_key not in answer.end.data["message"]
    retried = f"{mark} prompt of a retry"
    hopline.provider.on(retried, plan(Refuse(500, f"{mark} again")), says(f"{mark} answer"))
    await ada.answer(await ada.new_conversation(RETRYING), retried)


async def plant_in_refused_requests(hopline: Hopline, mark: str) -> None:
    """The bodies, paths, queries, headers and keys of requests that are refused or fail."""
    async with hopline.client(**PageTrace().headers) as http:
        conversation = (await http.post("/api/conversations", json={})).json()["id"]
        path = f"/api/conversations/{conversation}/turns"
        json = {"Content-Type": "application/json"}
        responses: list[httpx.Response] = [
            await http.post(path, json={"text": f"{mark} prompt", "frobnicate": f"{mark} field"}),
            await http.post(path, json={"text": {"nested": f"{mark} prompt"}}),
            await http.post(path, content=f'{{"text": "{mark} prompt'.encode(), headers=json),
            await http.post(path, json={"text": f"{mark} prompt" * 20_000}),
            await http.post(path, json={"text": f"{mark} prompt\x00"}),
            await http.post("/v1/chat/completions", json={"model": DEFAULT, "messages": f"{mark} prompt"}),
            await http.get(f"/api/usage?group_by={mark}-query"),
            await http.get("/api/conversations", headers={"Authorization": f"Bearer hl_{mark}-key"}),
            await http.post("/api/conversations", json={}, headers={"Origin": f"https://{mark}.example"}),
            await http.get("/api/conversations", headers={"Cookie": f"session={mark}-cookie", "Host": "evil.example"}),
        ]
    assert [r.status_code for r in responses if r.status_code < 400 or r.status_code >= 500] == []


async def plant_in_a_failing_database(hopline: Hopline, ada: Person, mark: str) -> None:
    """The write fails when the message is accepted, and when the answer is saved."""
    refused, accepted = f"{mark} refused prompt", f"{mark} accepted prompt"
    hopline.provider.on(accepted, says(f"{mark} refused answer"))
    conversation = await ada.new_conversation()
    async with messages_are_refused(hopline, that_say=f"{mark} refused"):
        response = await ada.http.post(
            f"/api/conversations/{conversation}/turns", json={"text": refused}, headers=PageTrace().headers
        )
        assert response.status_code == 500
        assert mark not in response.text
        turn = await ada.submit(conversation, accepted, headers=PageTrace().headers)
        failed = await ada.ended_turn(turn, timeout_s=60)
        assert failed["state"] == "failed"


async def test_it_is_in_no_line_of_any_log(hopline: Hopline, mark: str) -> None:
    found = [f"{name}: {line}" for name, line in hopline.logs.lines if mark in line]
    assert found == []


async def test_it_is_in_nothing_that_is_sent_to_sentry(hopline: Hopline, mark: str) -> None:
    everything = hopline.ingest.everything()
    places = [everything[max(0, at - 300) : at + 100] for at in positions_of(mark.encode(), everything)]
    assert places == []


async def test_the_providers_key_is_in_neither(hopline: Hopline, mark: str, provider_key: str) -> None:
    assert provider_key not in hopline.logs.text(), mark
    assert provider_key.encode() not in hopline.ingest.everything()


async def test_neither_are_the_keys_of_people_and_services_nor_the_passwords_of_databases(
    hopline: Hopline, mark: str, ada_key: str
) -> None:
    secrets = [ada_key, *hopline.stack.secrets.values()]
    everything, logs = hopline.ingest.everything(), hopline.logs.text()
    assert [secret for secret in secrets if secret in logs or secret.encode() in everything] == [], mark


def positions_of(wanted: bytes, text: bytes) -> list[int]:
    found: list[int] = []
    at = text.find(wanted)
    while at >= 0:
        found.append(at)
        at = text.find(wanted, at + 1)
    return found
