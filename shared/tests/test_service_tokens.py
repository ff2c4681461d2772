"""Services take tokens that our processes signed, for them, within the last minute, and nothing else."""

import time
from typing import Any

import httpx
import jwt
import pytest

from wire.ids import PersonId
from wire.service_tokens import Caller, ServiceAuth, TokenRefused, read_token, sign_token

KEY = "a key of the processes of these tests"
ADA = PersonId("ada")


def claims(**changes: Any) -> dict[str, Any]:
    whole = {"iss": "gateway", "aud": "chat", "sub": "ada", "exp": int(time.time()) + 60} | changes
    return {name: value for name, value in whole.items() if value is not None}


def test_a_token_says_who_calls_and_for_whom() -> None:
    token = sign_token(KEY, process="gateway", audience="chat", person=ADA)

    assert read_token(KEY, token, audience="chat") == Caller(process="gateway", person=ADA)


def test_a_token_is_good_for_a_minute() -> None:
    token = sign_token(KEY, process="gateway", audience="chat", person=ADA)

    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    assert read["exp"] - read["iat"] == 60


@pytest.mark.parametrize(
    "token",
    [
        "",
        "hl_0123456789",
        "a.b.c",
        jwt.encode(claims(), "another key, of the same length or so", algorithm="HS256"),
        jwt.encode(claims(aud="tracking"), KEY, algorithm="HS256"),
        jwt.encode(claims(exp=int(time.time()) - 60), KEY, algorithm="HS256"),
        jwt.encode(claims(exp=None), KEY, algorithm="HS256"),
        jwt.encode(claims(aud=None), KEY, algorithm="HS256"),
        jwt.encode(claims(iss=None), KEY, algorithm="HS256"),
        jwt.encode(claims(sub=None), KEY, algorithm="HS256"),
        jwt.encode(claims(sub=7), KEY, algorithm="HS256"),
        jwt.encode(claims(), None, algorithm="none"),
    ],
    ids=[
        "nothing",
        "a person's key",
        "no token",
        "another key",
        "another audience",
        "expired",
        "no expiry",
        "no audience",
        "no issuer",
        "no subject",
        "a subject that is no text",
        "not signed",
    ],
)
def test_any_other_token_is_refused_without_a_reason(token: str) -> None:
    with pytest.raises(TokenRefused, match=r"^not a valid service token$"):
        read_token(KEY, token, audience="chat")


async def test_each_request_of_a_client_is_signed_anew() -> None:
    seen: list[Caller] = []

    def answer(request: httpx.Request) -> httpx.Response:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        assert scheme == "Bearer"
        seen.append(read_token(KEY, token, audience="tracking"))
        return httpx.Response(200)

    auth = ServiceAuth(KEY, process="chat-worker", audience="tracking", person=ADA)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), auth=auth) as client:
        await client.get("http://tracking/usage")
        await client.get("http://tracking/usage")

    assert seen == [Caller(process="chat-worker", person=ADA)] * 2
