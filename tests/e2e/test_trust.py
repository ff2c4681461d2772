"""Who may drive Hopline: no page of another site, nobody without a good key, no person past the gateway."""

import time

import httpx
import jwt
import pytest

from e2e.hopline import Hopline
from e2e.person import Person
from wire.ids import PersonId
from wire.service_tokens import sign_token

INTERNAL = (("chat", "GET", "/conversations"), ("chat", "GET", "/models"), ("tracking", "GET", "/usage"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_a_page_elsewhere_can_not_drive_it(hopline: Hopline, headers: dict[str, str]) -> None:
    async with hopline.client() as http:
        written = await http.post("/api/conversations", json={}, headers=headers)
        read = await http.get("/api/conversations", headers=headers)
        program = await http.get("/v1/models", headers=headers)
    assert {response.status_code for response in (written, read, program)} <= {403, 421}
    assert "access-control-allow-origin" not in written.headers
    assert written.headers["content-type"] == "application/problem+json"
    assert set(program.json()) == {"error"}


async def test_a_preflight_allows_nothing(hopline: Hopline) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with hopline.client() as http:
        response = await http.options("/api/conversations", headers=headers)
    assert response.status_code >= 400
    assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_a_form_of_another_page_can_not_post(hopline: Hopline) -> None:
    """A form needs no preflight: its body is not taken for JSON."""
    async with hopline.client() as http:
        response = await http.post("/api/conversations", content=b"{}", headers={"Content-Type": "text/plain"})
    assert response.status_code >= 400


async def test_our_own_page_may(hopline: Hopline) -> None:
    headers = {"Origin": hopline.url, "Sec-Fetch-Site": "same-origin"}
    async with hopline.client() as http:
        assert (await http.post("/api/conversations", json={}, headers=headers)).status_code == 201
        port = hopline.url.rpartition(":")[2]
        localhost = await http.get("/api/conversations", headers={"Host": f"localhost:{port}"})
        assert localhost.status_code == 200


async def test_without_sign_in_any_other_bearer_is_the_local_person(hopline: Hopline, local: Person) -> None:
    conversation = await local.new_conversation()
    async with hopline.client(Authorization="Bearer sk-whatever") as http:
        assert (await http.get(f"/api/conversations/{conversation}")).status_code == 200


async def test_a_key_that_nobody_has_is_refused(hopline: Hopline) -> None:
    async with hopline.client(Authorization="Bearer hl_nobody-has-this-key") as http:
        responses = [await http.get("/api/conversations"), await http.post("/api/conversations", json={})]
    assert [response.status_code for response in responses] == [401, 401]


async def test_where_people_sign_in_nobody_gets_in_without_a_good_key(hopline: Hopline, ada_key: str) -> None:
    async with hopline.another_gateway({"HOPLINE_SIGN_IN": "keys"}) as nobody:
        paths = ("/api/conversations", "/api/models", "/api/usage", "/v1/models")
        statuses = [(await nobody.http.get(path)).status_code for path in paths]
        any_bearer = await nobody.http.get("/v1/models", headers={"Authorization": "Bearer sk-any"})
        good = await nobody.http.get("/v1/models", headers={"Authorization": f"Bearer {ada_key}"})
    assert statuses == [401] * len(paths)
    assert (any_bearer.status_code, good.status_code) == (401, 200)


@pytest.mark.parametrize(("service", "method", "path"), INTERNAL)
async def test_a_service_answers_signed_tokens_of_its_own_audience_alone(
    hopline: Hopline, ada_key: str, service: str, method: str, path: str
) -> None:
    other = "tracking" if service == "chat" else "chat"
    person = PersonId("local")

    def token(audience: str, key: str = hopline.service_key) -> str:
        return sign_token(key, process="gateway", audience=audience, person=person)

    now = int(time.time())
    claims = {"iss": "gateway", "aud": service, "sub": "local", "iat": now}
    unsigned = jwt.encode({**claims, "exp": now + 60}, "", algorithm="none")
    refused = {
        "nothing": None,
        "a person's key": ada_key,
        "another audience": token(other),
        "another signer": token(service, "x" * 40),
        "no signature": unsigned,
        "expired": jwt.encode({**claims, "exp": now - 60}, hopline.service_key, algorithm="HS256"),
        "no expiry": jwt.encode(claims, hopline.service_key, algorithm="HS256"),
    }
    async with httpx.AsyncClient(base_url=hopline.stack.url(service), trust_env=False) as http:

        async def status_with(bearer: str | None) -> int:
            headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
            return (await http.request(method, path, headers=headers)).status_code

        statuses = {name: await status_with(bearer) for name, bearer in refused.items()}
        good = await status_with(token(service))
    assert statuses == dict.fromkeys(refused, 401)
    assert good == 200
