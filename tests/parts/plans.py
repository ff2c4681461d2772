"""What the scripted provider is told to do with a request: a plan, which is a row of steps.

| step | the provider |
|---|---|
| `Say(text)` | streams the text, one token a chunk |
| `Wait(gate)` | stops here until the test opens the gate |
| `Refuse(status)` | first: answers with this status; later: sends an error chunk and ends |
| `Break()` | closes the connection in the middle |
| `Hang()` | sends nothing more, for as long as the caller waits |
| `Garbage(line)` | writes a line that is no event |
| `CallTool(…)` | streams a tool call, its arguments in two pieces |
| `Reason(text)` | streams reasoning, one token a chunk |
| `Finish(reason)` | ends with this reason in place of `stop` |

Steps before the first that sends something happen before the headers are sent.

A token is a word with the white space before it, or trailing white space: counting needs no tokenizer.
"""

import re
from dataclasses import dataclass
from typing import Any

TOKENS_OF_A_MESSAGE = 4
"""What a message's role and frame cost in the prompt."""

_TOKEN = re.compile(r"\s*\S+|\s+$")


def tokens_of(text: str) -> list[str]:
    """The tokens of a text, which joined are the text."""
    return _TOKEN.findall(text)


def text_of(content: object) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts)


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    """What a provider of this kind charges for a history."""
    return sum(TOKENS_OF_A_MESSAGE + len(tokens_of(text_of(message.get("content")))) for message in messages)


class Gate:
    """A point of an answer at which the provider waits for the test."""

    def __init__(self) -> None:
        self.arrivals = 0
        """How many requests have reached this point."""
        self.is_open = False

    def open(self) -> None:
        self.is_open = True


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    pause_s: float = 0.0
    """Between two tokens."""


@dataclass(frozen=True, slots=True)
class Wait:
    gate: Gate


@dataclass(frozen=True, slots=True)
class Refuse:
    status: int
    message: str = "The provider refuses."
    kind: str = "invalid_request_error"
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Break:
    pass


@dataclass(frozen=True, slots=True)
class Hang:
    pass


@dataclass(frozen=True, slots=True)
class Garbage:
    line: str


@dataclass(frozen=True, slots=True)
class CallTool:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reason:
    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    reason: str


Step = Say | Wait | Refuse | Break | Hang | Garbage | CallTool | Reason | Finish


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]
    cached_tokens: int = 0
    """How many of the prompt's tokens the usage calls cached."""
    reports_usage: bool = True


def plan(*steps: Step, cached_tokens: int = 0) -> Plan:
    return Plan(steps, cached_tokens=cached_tokens)


def says(text: str) -> Plan:
    """Answers with this text, at once."""
    return Plan((Say(text),))


def says_in_two_parts(before: str, gate: Gate, after: str) -> Plan:
    """Streams `before`, waits for the gate, streams `after`: the middle of an answer for as long as a test needs."""
    return Plan((Say(before), Wait(gate), Say(after)))
