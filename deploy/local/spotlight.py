"""Spotlight, the trace viewer of the local mode: how it is started, kept on this machine by `contain.mjs`."""

from __future__ import annotations

from pathlib import Path

from .child import Command
from .node import find_node
from .npm_build import SPOTLIGHT


def spotlight_command(root: Path, port: int) -> Command:
    """Raises:
    PrepareError: there is no node.
    """
    folder = root / SPOTLIGHT.folder
    program = ["--import", str(folder / "contain.mjs"), str(folder / SPOTLIGHT.result)]
    return Command(args=[find_node(root).program, *program, "server", "--port", str(port)], cwd=folder)
