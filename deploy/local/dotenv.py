"""Reads `.env` as docker compose does, as far as a person needs it: `NAME=value`, quotes, comments, `export`.

No interpolation: a `$` stays a `$`, so that a password with one is taken as written (compose wants it in single
quotes for the same result).
"""

from __future__ import annotations

import re
from pathlib import Path

from .errors import SettingError

LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


def read_dotenv(path: Path) -> dict[str, str]:
    """No file is an empty one.

    Raises:
        SettingError: the file can't be read, or a line is no assignment.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} can't be read: {error}.") from error
    return parse_dotenv(text, name=str(path))


def parse_dotenv(text: str, *, name: str = ".env") -> dict[str, str]:
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise SettingError(f"Line {number} of {name} is not of the form NAME=value.")
        values[match["name"]] = _value(match["value"], where=f"Line {number} of {name}")
    return values


def _value(written: str, *, where: str) -> str:
    quote = written[:1]
    if quote not in {"'", '"'}:
        return re.split(r"\s+#", written, maxsplit=1)[0].strip() if not written.startswith("#") else ""
    body = r"(?:[^\\\"]|\\.)*" if quote == '"' else "[^']*"
    match = re.fullmatch(rf"{quote}(?P<body>{body}){quote}\s*(?:#.*)?", written)
    if match is None:
        raise SettingError(f"{where} has a quote that is not closed.")
    if quote == "'":
        return match["body"]
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[0]), match["body"])
