"""Secrets are made once, whatever happened before, and each is for one group."""

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from contained.make_secrets import make_missing
from contained.secret_files import GROUPS, OWNERS, REDIS_CONF, REDIS_URL, SERVICE_KEY, database_url_file

OWN_GROUP = dict.fromkeys(GROUPS, os.getgid())


def texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_a_first_start_makes_all_and_a_second_one_none(tmp_path: Path) -> None:
    assert make_missing(tmp_path, OWN_GROUP) == list(GROUPS)
    made = texts(tmp_path)
    assert make_missing(tmp_path, OWN_GROUP) == []
    assert texts(tmp_path) == made
    assert set(made) == set(GROUPS)


def test_no_two_passwords_are_alike_and_none_is_short(tmp_path: Path) -> None:
    make_missing(tmp_path, OWN_GROUP)
    urls = [urlsplit((tmp_path / name).read_text()) for name in [*map(database_url_file, OWNERS), REDIS_URL]]
    passwords = [url.password or "" for url in urls] + [(tmp_path / SERVICE_KEY).read_text().strip()]
    assert len(set(passwords)) == len(passwords)
    assert min(map(len, passwords)) >= 43


def test_a_file_is_for_its_group_alone(tmp_path: Path) -> None:
    make_missing(tmp_path, OWN_GROUP)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o440}
    assert len(set(GROUPS.values())) == len(GROUPS)


@pytest.mark.parametrize("lost", [REDIS_CONF, REDIS_URL])
def test_of_the_two_files_with_one_password_either_is_made_again_from_the_other(tmp_path: Path, lost: str) -> None:
    make_missing(tmp_path, OWN_GROUP)
    before = texts(tmp_path)
    (tmp_path / lost).unlink()
    assert make_missing(tmp_path, OWN_GROUP) == [lost]
    assert texts(tmp_path) == before


def test_what_a_start_left_half_written_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / f".{SERVICE_KEY}.new").write_text("hal")
    make_missing(tmp_path, OWN_GROUP)
    assert set(texts(tmp_path)) == set(GROUPS)
