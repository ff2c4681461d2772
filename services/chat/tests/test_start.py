"""A wrong setting ends a process at its start, with one sentence and nothing secret."""

import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {
    "HOPLINE_SERVICE_KEY": "a key that only the tests of this folder share",
    "HOPLINE_CHAT_DATABASE_URL": "postgresql://nobody:a-secret@127.0.0.1:1/nothing",
}


def stderr_of(module: str, environment: dict[str, str]) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", module], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 78
    assert "a-secret" not in ended.stdout + ended.stderr
    return ended.stderr


@pytest.mark.parametrize("module", ["chat", "chat.worker"])
def test_a_wrong_models_file_is_named(tmp_path: Path, module: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text('[providers.a]\nbase_url = "http://a.test/v1"\n[models.b]\nprovider = "c"\n')
    sentence = f"Wrong setting: HOPLINE_MODELS: {path}: models.b: no provider 'c' here.\n"
    assert stderr_of(module, ENVIRONMENT | {"HOPLINE_MODELS": str(path)}) == sentence


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("OPENAI_API_KEY", "a-secret two", "a key holds letters, digits and signs of ASCII only, and no white space"),
        (
            "OPENAI_BASE_URL",
            "localhost:1234",
            "this is no address that begins with http:// or https:// and names a host",
        ),
        ("HOPLINE_TURNS_AT_ONCE", "0", "Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: str, sentence: str) -> None:
    assert stderr_of("chat.worker", ENVIRONMENT | {setting: value}) == f"Wrong setting: {setting}: {sentence}\n"
