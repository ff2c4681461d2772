import json
from pathlib import Path

import pytest

from local.doctor import not_ready_reason
from local.locks import pins
from local.migration_stamp import MigrationStamps
from local.node import is_new_enough
from local.npm_build import excerpt, sources_hash

DATABASES = {"gateway": "1|16385", "chat": "1|16386", "tracking": "1|16387"}


@pytest.mark.parametrize(
    ("version", "enough"),
    [("v20.19.0", True), ("v20.20.2", True), ("v22.1.0", True), ("v20.18.9", False), ("v18.20.0", False), ("?", False)],
)
def test_node_is_new_enough_from_20_19_on(version: str, enough: bool) -> None:
    assert is_new_enough(version) is enough


def test_the_sources_of_the_page_are_all_but_what_npm_makes_and_tests_read(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.ts").write_text("1")
    first = sources_hash(tmp_path)
    for made in ("dist", "node_modules", "tests"):
        (tmp_path / made).mkdir()
        (tmp_path / made / "b.js").write_text("2")
    assert sources_hash(tmp_path) == first
    (tmp_path / "src" / "a.ts").write_text("3")
    assert sources_hash(tmp_path) != first


def test_an_excerpt_is_of_the_last_command_and_without_its_stack() -> None:
    log = "$ npm ci\nadded 3\n$ npm run build\n\nerror: no such file\n    at build (x.mjs:1)\n"
    assert excerpt(log) == ["run build", "error: no such file"]


def test_pins_are_the_requirements_without_hashes() -> None:
    text = "a==1.0 \\\n    --hash=sha256:00\nb[x]==2 ; sys_platform == 'win32' \\\n    --hash=sha256:11\n"
    assert pins(text) == ["a==1.0", "b[x]==2 ; sys_platform == 'win32'"]


def stamps(tmp_path: Path) -> MigrationStamps:
    for owner in DATABASES:
        (tmp_path / "services" / owner / "src" / owner / "migrations").mkdir(parents=True, exist_ok=True)
    return MigrationStamps(tmp_path, tmp_path)


def test_a_database_that_was_migrated_by_the_same_text_is_not_asked_again(tmp_path: Path) -> None:
    known = stamps(tmp_path)
    assert known.due(DATABASES) == list(DATABASES)
    known.write(DATABASES)
    assert known.due(DATABASES) == []


def test_another_database_or_another_text_is_migrated(tmp_path: Path) -> None:
    known = stamps(tmp_path)
    known.write(DATABASES)
    assert known.due({**DATABASES, "chat": "1|20000"}) == ["chat"]
    (tmp_path / "services/tracking/src/tracking/migrations/v2.py").write_text("new")
    assert known.due(DATABASES) == ["tracking"]


def test_a_database_that_is_not_embedded_is_always_migrated(tmp_path: Path) -> None:
    known = stamps(tmp_path)
    known.write({})
    assert known.due({}) == list(DATABASES)


def test_the_doctor_names_the_checks_that_are_down() -> None:
    checks = {"database": {"state": "down"}, "redis": {"state": "up"}}
    body = json.dumps({"status": "not_ready", "checks": checks}).encode()
    assert not_ready_reason(503, body) == "not_ready, database down"
    assert not_ready_reason(503, b"<html>") == "status 503"
    assert not_ready_reason(None, b"") == "nothing answers"
