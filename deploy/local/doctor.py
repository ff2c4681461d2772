"""`make doctor`: what is missing, which port is taken by whom, which service is not ready and why. Changes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from .browser import find_chromium
from .child_environment import base_url
from .errors import LauncherError
from .node import OLDEST, find_node, node_on_path
from .npm_build import FRONTEND, SPOTLIGHT, is_current
from .ports import holder_of, is_free, taken_sentence
from .process_table import PROCESSES, Process
from .readiness import status_and_body
from .settings import LauncherSettings, read_settings
from .state_lock import Holder
from .state_lock import holder_of as launcher_of

GOOD, BAD, NOTE = "ok  ", "BAD ", "    "


def examine(root: Path) -> int:
    """1 when something is wrong."""
    findings = list(_findings(root))
    for level, sentence in findings:
        sys.stdout.write(f"{level} {sentence}\n")
    return 1 if any(level == BAD for level, _ in findings) else 0


def _findings(root: Path) -> Iterator[tuple[str, str]]:
    yield GOOD, f"Python {'.'.join(map(str, sys.version_info[:3]))} in {sys.prefix}"
    yield from _tools(root)
    try:
        settings = read_settings(root)
    except LauncherError as error:
        yield BAD, str(error)
        return
    launcher = launcher_of(settings.state_dir)
    if launcher is None:
        yield NOTE, f"nothing runs on {settings.state_dir}"
        for process in PROCESSES:
            if settings.runs(process):
                yield _port(process, settings)
        return
    yield GOOD, f"Hopline runs on {settings.state_dir} (pid {launcher.mark.pid})"
    for process in PROCESSES:
        if settings.runs(process):
            yield from _state(process, settings, launcher)


def _tools(root: Path) -> Iterator[tuple[str, str]]:
    node = node_on_path()
    if node is not None:
        yield GOOD, f"node {node.version} ({node.program})"
    else:
        try:
            yield (
                GOOD,
                f"node {find_node(root).version} from a wheel: the PATH has none of {OLDEST[0]}.{OLDEST[1]} or newer",
            )
        except LauncherError as error:
            yield BAD, str(error)
    for made, what in ((FRONTEND, "the page"), (SPOTLIGHT, "the trace viewer")):
        yield (
            (GOOD, f"{what} is built") if is_current(root, made) else (NOTE, f"{what} will be built at the next start")
        )
    chromium = find_chromium()
    yield NOTE, f"Chromium for the tests: {chromium or 'none yet, `make test` installs one'}"


def _port(process: Process, settings: LauncherSettings) -> tuple[str, str]:
    port = settings.ports[process.name]
    if is_free(settings.bind_of(process), port):
        return GOOD, f"port {port} is free for {process.name}"
    return BAD, taken_sentence(process, port, holder_of(port))


def _state(process: Process, settings: LauncherSettings, launcher: Holder) -> Iterator[tuple[str, str]]:
    port = launcher.ports[process.name]
    if process.ready_path is None:
        taken = not is_free(settings.bind_of(process), port)
        yield (
            (GOOD, f"{process.name} listens on {port}") if taken else (BAD, f"{process.name} does not listen on {port}")
        )
        return
    url = base_url(process, port, settings.values) + process.ready_path
    status, body = status_and_body(url)
    if status == 200:
        yield GOOD, f"{process.name} is ready ({url})"
    else:
        yield (
            BAD,
            f"{process.name} is not ready: {not_ready_reason(status, body)} ({url}; `make logs NAME={process.name}`)",
        )


def not_ready_reason(status: int | None, body: bytes) -> str:
    """From the body of /readyz: the checks that are not up."""
    if status is None:
        return "nothing answers"
    try:
        found = json.loads(body)
        checks: Mapping[str, Mapping[str, object]] = found["checks"]
        down = [name for name, check in checks.items() if check["state"] != "up"]
        return f"{found['status']}, {', '.join(down)} down" if down else str(found["status"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"status {status}"
