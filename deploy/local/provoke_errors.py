"""`make sentry-test`: every process raises an error on purpose, and each says under which ids its event was sent.

Asked through the gateway, as only that is public, each process in a trace of its own. What can be known here is that
the process handed the event to its Sentry client; whether the server took it is seen at the server, under these ids.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from .child_environment import base_url
from .errors import LauncherError
from .process_table import BY_NAME, SERVICES
from .settings import read_settings
from .state_lock import holder_of

TIMEOUT_S = 20.0
TRACE_PLACE = "{trace_id}"
SENT_MEANS = (
    "Sent: handed to that process's Sentry client. Whether the server took it is seen there, by these ids, in a moment."
)

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    status: int | None
    """None when nothing answered."""
    body: Mapping[str, object]


def provoke_errors(root: Path, *, url: str | None) -> int:
    """1 when an event of any process was not sent. `url` is that of a gateway elsewhere.

    Raises:
        LauncherError: no `url`, and nothing runs here.
    """
    gateway = (url or _url_here(root)).rstrip("/")
    answers = {name: _get(f"{gateway}/sentry-test?{urlencode({'service': name})}") for name in SERVICES}
    config = _get(f"{gateway}/api/config").body
    for name, answer in answers.items():
        sys.stdout.write(f"{name:16} {what_arrived(answer)}\n")
    sys.stdout.write(f"{SENT_MEANS}\n{where_to_look(config)}\n" if any(map(was_sent, answers.values())) else "")
    return 0 if all(map(was_sent, answers.values())) else 1


def was_sent(answer: Answer) -> bool:
    return answer.status == 500 and "event_id" in answer.body


def what_arrived(answer: Answer) -> str:
    if was_sent(answer):
        return f"sent   event {answer.body['event_id']}   trace {answer.body.get('trace_id')}"
    match answer.status:
        case None:
            return "NOT SENT: nothing answers at the gateway's address"
        case 404:
            return "NOT SENT: SENTRY_TEST_ENABLED=true is not said to it"
        case 500:
            return f"NOT SENT: it has no SENTRY_DSN (it did raise, in trace {answer.body.get('trace_id')})"
        case _:
            return f"NOT SENT: status {answer.status}. {answer.body.get('detail', '')}".rstrip()


def where_to_look(config: Mapping[str, object]) -> str:
    template = config.get("trace_url_template")
    if not isinstance(template, str):
        return "Where to look: in your Sentry, search for the ids (SENTRY_WEB_URL makes links of them)."
    return f"Where to look: {template.replace(TRACE_PLACE, '<trace>')}"


def _url_here(root: Path) -> str:
    settings = read_settings(root)
    launcher = holder_of(settings.state_dir)
    if launcher is None:
        raise LauncherError(
            f"Nothing runs on {settings.state_dir}: start it with `make run`, or say URL=http://… of another gateway."
        )
    return base_url(BY_NAME["gateway"], launcher.ports["gateway"], settings.values)


def _get(url: str) -> Answer:
    try:
        with _direct.open(url, timeout=TIMEOUT_S) as response:
            return Answer(response.status, _object(response.read()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, _object(error.read()))
    except (OSError, ValueError):
        return Answer(None, {})


def _object(body: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
