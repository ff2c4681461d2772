from pathlib import Path

import pytest

from local.dotenv import parse_dotenv, read_dotenv
from local.errors import SettingError


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  A = 1  ", "1"),
        ("export A=1", "1"),
        ("A=", ""),
        ("A=# nothing", ""),
        ("A=one # and a comment", "one"),
        ("A=one#two", "one#two"),
        ("A='a b # c'", "a b # c"),
        ("A='$x' # comment", "$x"),
        (r'A="a\nb \"c\" \\d"', 'a\nb "c" \\d'),
        ("A=a=b", "a=b"),
        ("A=p$ssw0rd", "p$ssw0rd"),
    ],
)
def test_a_value_is_what_compose_would_read(line: str, value: str) -> None:
    assert parse_dotenv(line) == {"A": value}


def test_comments_and_empty_lines_say_nothing() -> None:
    assert parse_dotenv("# A=1\n\n   \nB=2\n") == {"B": "2"}


def test_the_last_of_two_values_holds() -> None:
    assert parse_dotenv("A=1\nA=2") == {"A": "2"}


@pytest.mark.parametrize("line", ["no assignment", "1A=2", "A='open", 'A="open'])
def test_a_line_that_makes_no_sense_is_named_by_its_number(line: str) -> None:
    with pytest.raises(SettingError, match=r"Line 2 of \.env"):
        parse_dotenv(f"B=1\n{line}")


def test_no_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == {}
