"""Who may call a service: short-lived tokens that our own processes sign, never a person's key.

A token names who calls (`iss`), whom (`aud`) and for which person (`sub`), and is good for a minute. The person is part
of the signed text, so a service need not trust a header. HS256 over one key that all processes share.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass

import httpx
import jwt

from wire.ids import PersonId

LIFETIME_S = 60
LEEWAY_S = 5
ALGORITHM = "HS256"
NOBODY = PersonId("-")
"""The subject of a call that no person caused, such as a sweep's."""


class TokenRefused(Exception):
    """The token is missing, forged, too old, or meant for another service; a new one may be accepted."""


@dataclass(frozen=True, slots=True)
class Caller:
    process: str
    person: PersonId


def sign_token(key: str, *, process: str, audience: str, person: PersonId) -> str:
    now = int(time.time())
    claims = {"iss": process, "aud": audience, "sub": person, "iat": now, "exp": now + LIFETIME_S}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def read_token(key: str, token: str, *, audience: str) -> Caller:
    """Who is calling, and for whom.

    Raises:
        TokenRefused: as the class says; the reason is not told, so that a stranger learns nothing.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=audience,
            leeway=LEEWAY_S,
            options={"require": ["exp", "aud", "iss", "sub"]},
        )
    except jwt.PyJWTError as error:
        raise TokenRefused("not a valid service token") from error
    return Caller(process=claims["iss"], person=PersonId(claims["sub"]))


class ServiceAuth(httpx.Auth):
    """Signs each request of a client for one person: `client.get(url, auth=ServiceAuth(…))`."""

    def __init__(self, key: str, *, process: str, audience: str, person: PersonId) -> None:
        self._key = key
        self._process = process
        self._audience = audience
        self._person = person

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = sign_token(self._key, process=self._process, audience=self._audience, person=self._person)
        request.headers["Authorization"] = f"Bearer {token}"
        yield request
