"""The Chromium that the browser tests drive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from .errors import PrepareError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find_chromium() -> str | None:
    """The program on this machine; playwright's own, when there is one, needs no path."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def ensure_chromium() -> None:
    """A Chromium is there: the machine's, else the system's package when we are root, else playwright's own.

    Raises:
        PrepareError: none of the three.
    """
    if find_chromium():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], env=env, check=False)
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"], env=env, check=False)
        if find_chromium():
            return
    done = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if done.returncode != 0:
        raise PrepareError("There is no Chromium for the browser tests: install your system's package chromium.")
