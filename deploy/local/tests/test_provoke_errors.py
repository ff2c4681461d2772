"""`make sentry-test` says what is known of each process's event, and no more."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from local.errors import LauncherError
from local.process_table import SERVICES
from local.provoke_errors import Answer, provoke_errors, what_arrived, where_to_look

EVENT, TRACE = "e" * 32, "a" * 32


class Gateway(TCPServer):
    """Answers as a gateway whose processes all raise, except those that a test says something else of."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told: dict[str, tuple[int, dict[str, str]]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Gateway)
        asked = urlsplit(self.path)
        if asked.path == "/sentry-test":
            [name] = parse_qs(asked.query)["service"]
            status, body = self.server.told.get(name, (500, {"event_id": EVENT, "trace_id": TRACE}))
        else:
            status, body = 200, {"trace_url_template": "http://viewer/traces/{trace_id}"}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_each_process_has_a_line_with_its_event_and_its_trace(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert provoke_errors(tmp_path, url=f"{gateway.url}/") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [f"{name:16} sent   event {EVENT}   trace {TRACE}" for name in SERVICES]
    assert lines[-1] == "Where to look: http://viewer/traces/<trace>"


def test_one_event_that_was_not_sent_is_a_failure(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.told["chat"] = (404, {})

    assert provoke_errors(tmp_path, url=gateway.url) == 1
    assert "chat             NOT SENT: SENTRY_TEST_ENABLED=true is not said to it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(500, {"trace_id": TRACE}), f"NOT SENT: it has no SENTRY_DSN (it did raise, in trace {TRACE})"),
        (Answer(503, {"detail": "It can't be reached."}), "NOT SENT: status 503. It can't be reached."),
        (Answer(502, {}), "NOT SENT: status 502."),
        (Answer(None, {}), "NOT SENT: nothing answers at the gateway's address"),
    ],
)
def test_why_nothing_was_sent_is_said(answer: Answer, said: str) -> None:
    assert what_arrived(answer) == said


def test_without_links_it_says_how_to_search() -> None:
    assert "SENTRY_WEB_URL" in where_to_look({"trace_url_template": None})


def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="Nothing runs on"):
        provoke_errors(tmp_path, url=None)
