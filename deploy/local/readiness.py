"""One look at a ready URL."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

TIMEOUT_S = 2.0


def answers(url: str) -> bool:
    """Whether it says 200 now."""
    return status_and_body(url)[0] == 200


def status_and_body(url: str) -> tuple[int | None, bytes]:
    """No status when nothing answered."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()
