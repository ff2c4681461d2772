"""API keys: what one looks like, and what is kept of it.

A key is `hl_` and 256 random bits. Only its SHA-256 is kept: with that much randomness nothing slower is needed, and
nobody who reads the database can sign in.
"""

import hashlib
import secrets

PREFIX = "hl_"
RANDOM_BYTES = 32
HINT_CHARS = len(PREFIX) + 6


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def hash_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def hint_of(key: str) -> str:
    """The start of a key, enough for its owner to tell it from others."""
    return key[:HINT_CHARS]
