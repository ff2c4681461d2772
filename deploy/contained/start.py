"""`python -m contained.start MODULE`: becomes `python -m MODULE`, telling it of Spotlight where that runs.

Which profiles are on is not known to the other containers: a name that Docker's own name server answers for says it.
Without a DSN and without Spotlight nothing is reported anywhere.
"""

import contextlib
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Mapping

VIEWER = "spotlight"
LOOK_UP_S = 1.5
"""A name server that is away shall hold up no start."""


def with_viewer(environment: Mapping[str, str], *, runs: bool) -> dict[str, str]:
    """The environment, and in it Spotlight as the place where telemetry goes and is looked at, if that is unsaid."""
    said = environment.get("SENTRY_DSN") or environment.get("SENTRY_DSN_FILE")
    if said or not runs:
        return dict(environment)
    port = environment.get("HOPLINE_SPOTLIGHT_PORT") or "8969"
    return {
        **environment,
        "SENTRY_DSN": f"http://{VIEWER}@{VIEWER}:{port}/1",
        "SENTRY_WEB_URL": environment.get("SENTRY_WEB_URL") or f"http://localhost:{port}",
    }


def is_own_container(name: str) -> bool:
    """Whether the name leads to a container on a network of ours.

    The dot at the end keeps the search domains of the machine out, and no address of the world outside will do.
    """
    found: list[str] = []

    def look_up() -> None:
        with contextlib.suppress(OSError):
            found.append(socket.gethostbyname(f"{name}."))

    looking = threading.Thread(target=look_up, daemon=True)
    looking.start()
    looking.join(LOOK_UP_S)
    return bool(found) and ipaddress.ip_address(found[0]).is_private


def main() -> None:
    environment = with_viewer(os.environ, runs=is_own_container(VIEWER))
    os.execve(sys.executable, [sys.executable, "-m", *sys.argv[1:]], environment)  # noqa: S606


if __name__ == "__main__":
    main()
