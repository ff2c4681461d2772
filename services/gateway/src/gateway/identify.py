"""Who is asking: an API key's person, or `local` where nobody signs in.

| header | `HOPLINE_SIGN_IN=local` | `HOPLINE_SIGN_IN=keys` |
|---|---|---|
| `Authorization: Bearer hl_…`, a good key | its person | its person |
| `Authorization: Bearer hl_…`, unknown or revoked | 401 | 401 |
| any other bearer | `local`: OpenAI clients must send something | 401 |
| none | `local` | 401 |
"""

import time
from collections import OrderedDict

from gateway import people_store
from gateway.api_keys import PREFIX, hash_of
from gateway.errors import SignInRequired
from gateway.people_store import LOCAL_PERSON
from wire.database import Database
from wire.ids import PersonId

CACHE_S = 10.0
"""A revoked key works no longer than this."""
CACHED_KEYS = 1000
MAX_KEY_CHARS = 200


class Identify:
    """Answers who is asking, and remembers good keys for a moment. Unknown keys are never remembered."""

    def __init__(self, database: Database, *, sign_in: str) -> None:
        self._database = database
        self._sign_in = sign_in
        self._known: OrderedDict[bytes, tuple[PersonId, float]] = OrderedDict()

    async def person(self, authorization: str | None) -> PersonId:
        """Raises:
        SignInRequired: as the module's table says.
        DatabaseUnavailable: a key can't be looked up now.
        """
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() == "bearer" and key.startswith(PREFIX):
            return await self._owner(key)
        if self._sign_in == "local":
            return LOCAL_PERSON
        raise SignInRequired("sign_in_required", "Sign in first: send an API key as `Authorization: Bearer hl_…`.")

    async def _owner(self, key: str) -> PersonId:
        if len(key) > MAX_KEY_CHARS:
            raise _not_good()
        key_hash = hash_of(key)
        person, good_until = self._known.get(key_hash, (None, 0.0))
        if person is not None and time.monotonic() < good_until:
            return person
        async with self._database.transaction() as connection:
            person = await people_store.owner_of_key(connection, key_hash)
        if person is None:
            self._known.pop(key_hash, None)
            raise _not_good()
        self._remember(key_hash, person)
        return person

    def _remember(self, key_hash: bytes, person: PersonId) -> None:
        self._known[key_hash] = (person, time.monotonic() + CACHE_S)
        self._known.move_to_end(key_hash)
        while len(self._known) > CACHED_KEYS:
            self._known.popitem(last=False)


def _not_good() -> SignInRequired:
    return SignInRequired("invalid_api_key", "This API key is unknown or revoked. Ask for a new one.")
