"""What keeps Spotlight on this machine, tried on a small program in its place."""

import http.client
import json
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.node import find_node
from local.npm_build import SPOTLIGHT

ROOT = Path(__file__).resolve().parents[3]
CONTAIN = ROOT / SPOTLIGHT.folder / "contain.mjs"
PROGRAM = """
import { spawn } from "node:child_process";
import dns from "node:dns";
import http from "node:http";
import net from "node:net";
const outside = JSON.parse(process.argv[2]);
const url = `http://${outside.host}:${outside.port}/`;
const tried = {};
const attempt = (name, start) => new Promise((done) => {
  try { start((error) => { tried[name] = error?.code ?? "worked"; done(); }); }
  catch (error) { tried[name] = error.code; done(); }
});
const outcome = (emitter, good, done) => emitter.on("error", done).on(good, () => done());
await attempt("connect", (done) => outcome(net.connect(outside.port, outside.host), "connect", done));
await attempt("get", (done) => outcome(http.get(url), "response", done));
await attempt("fetch", (done) => fetch(url).then(() => done(), (error) => done(error.cause)));
await attempt("lookup", (done) => dns.lookup("hopline.invalid", done));
await attempt("resolve", (done) => dns.promises.resolve4("hopline.invalid").then(() => done(), done));
await attempt("spawn", (done) => outcome(spawn("true"), "exit", done));
const server = http.createServer((request, response) => response.end("page"));
server.listen(0, () => console.log(JSON.stringify({ ...tried, ...server.address() })));
"""


@contextmanager
def contained(tmp_path: Path, outside: socket.socket) -> Generator[dict[str, Any]]:
    """What the program reports of its attempts, while it listens."""
    program = tmp_path / "program.mjs"
    program.write_text(PROGRAM)
    host, port = outside.getsockname()
    arguments = [
        find_node(ROOT).program,
        "--import",
        str(CONTAIN),
        str(program),
        json.dumps({"host": host, "port": port}),
    ]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        try:
            yield json.loads(running.stdout.readline())
        finally:
            running.kill()


@pytest.fixture
def report(tmp_path: Path) -> Generator[dict[str, Any]]:
    # An address of this machine that is not the one it may speak to stands for the world outside.
    with socket.create_server(("127.0.0.2", 0)) as outside, contained(tmp_path, outside) as found:
        yield found
        outside.setblocking(False)
        with pytest.raises(BlockingIOError):
            outside.accept()


def answer(port: int, **headers: str) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.getheader("Content-Security-Policy")


def test_it_reaches_nothing_looks_up_nothing_and_starts_nothing(report: dict[str, Any]) -> None:
    attempts = {name: report[name] for name in ("connect", "get", "fetch", "lookup", "resolve", "spawn")}
    assert attempts == dict.fromkeys(attempts, "ECONNREFUSED")


def test_it_listens_on_loopback_without_being_told(report: dict[str, Any]) -> None:
    assert report["address"] == "127.0.0.1"


def test_its_page_may_speak_to_its_own_server_alone(report: dict[str, Any]) -> None:
    port = report["port"]
    status, policy = answer(port)
    assert status == 200
    assert policy is not None
    assert f"connect-src 'self' http://localhost:{port} http://127.0.0.1:{port};" in policy
    assert "default-src 'self';" in policy


def test_a_name_or_a_page_from_elsewhere_is_refused(report: dict[str, Any]) -> None:
    assert answer(report["port"], Host="elsewhere.example")[0] == 403
    assert answer(report["port"], Origin="https://elsewhere.example")[0] == 403
    assert answer(report["port"], Origin="http://localhost:8000")[0] == 200
