"""The commands behind the Makefile, as they are typed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def _local(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local", *words]
    return subprocess.run(command, cwd=ROOT / "deploy", capture_output=True, text=True, timeout=60, check=False)


def test_an_option_that_no_command_knows_is_refused_by_name() -> None:
    refused = _local("doctor", "--loud")
    assert refused.returncode == 2
    assert "unknown: --loud" in refused.stderr


def test_options_of_the_benchmarks_reach_them() -> None:
    refused = _local("bench", "--rounds", "many")
    assert "argument --rounds: invalid int value: 'many'" in refused.stderr
