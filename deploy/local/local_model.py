"""The models file of a stack without a provider: one entry, the local model."""

from __future__ import annotations

from pathlib import Path

MODEL = "smollm2-135m"
CONTEXT_WINDOW = 8192

MODELS_FILE = "models.toml"
MODELS_TEXT = """\
# Written by the launcher at each start. For models of your own copy this file and set HOPLINE_MODELS to the copy.
default = "{model}"

[providers.local]
base_url = "http://127.0.0.1:{port}/v1"
api_key_env = "HOPLINE_LOCAL_MODEL_KEY"

[models."{model}"]
provider = "local"
upstream = "{model}"
context_window = {context_window}
description = "Small local model: fluent, often wrong"
"""


def write_models_file(state_dir: Path, port: int) -> Path:
    path = state_dir / MODELS_FILE
    text = MODELS_TEXT.format(model=MODEL, port=port, context_window=CONTEXT_WINDOW)
    if not path.exists() or path.read_text() != text:
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)
    return path
