"""The models that are on offer in these tests, and the file that offers them."""

from pathlib import Path

from parts.background_server import HOST

DEFAULT = "scripted"
OTHER = "scripted-large"
"""Another model of the same provider, at another price."""
RETRYING = "scripted-retrying"
"""Tried once more when it fails before its first word."""
IMPATIENT = "scripted-impatient"
"""Given up when nothing comes for a second."""
UNREACHABLE = "unreachable"
"""Of a provider whose port is closed."""

SCRIPTED = (DEFAULT, OTHER, RETRYING, IMPATIENT)
ALL = (*SCRIPTED, UNREACHABLE)

KEY_VARIABLE = "SCRIPTED_PROVIDER_KEY"
CLOSED_PORT = 9
"""`discard`, which nothing listens on."""


def write_models_file(path: Path, provider_url: str) -> None:
    path.write_text(
        f"""
default = "{DEFAULT}"

[providers.scripted]
base_url = "{provider_url}"
api_key_env = "{KEY_VARIABLE}"

[providers.nowhere]
base_url = "http://{HOST}:{CLOSED_PORT}/v1"

[models."{DEFAULT}"]
provider = "scripted"
context_window = 8192
retries = 0
description = "Says what the test says"
[models."{DEFAULT}".price]
input = "0.15"
cached_input = "0.075"
output = "0.60"

[models."{OTHER}"]
provider = "scripted"
retries = 0
[models."{OTHER}".price]
input = "2.50"
output = "10.00"

[models."{RETRYING}"]
provider = "scripted"
retries = 1

[models."{IMPATIENT}"]
provider = "scripted"
retries = 0
idle_timeout_s = 1

[models."{UNREACHABLE}"]
provider = "nowhere"
retries = 0
connect_timeout_s = 1
""",
        encoding="utf-8",
    )
