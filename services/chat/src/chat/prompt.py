"""What a model is sent: the conversation along one branch, cut to the model's window.

Tokens are estimated, never counted: four characters a token, a little for each message. The estimate decides only what
is left out, and what an aborted call is charged until a better figure comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CHARS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
ANSWER_SHARE = 0.25
"""The part of the window that is kept free for the answer."""


@dataclass(frozen=True, slots=True)
class BranchMessage:
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    messages: list[dict[str, Any]]
    parameters: dict[str, Any]

    @property
    def estimated_tokens(self) -> int:
        return sum(TOKENS_PER_MESSAGE + estimate_tokens(_content_chars(m)) for m in self.messages)


def prompt_from_branch(branch: Sequence[BranchMessage], context_window: int | None) -> Prompt:
    """The newest messages that fit, oldest first. The last one, which is being answered, is always in.

    A history that starts with an answer, to a question that was left out, misleads: such answers are left out too.
    """
    spoken = [message for message in branch if message.text]
    kept = _newest_that_fit(spoken, context_window)
    while len(kept) > 1 and kept[0].role == "assistant":
        kept = kept[1:]
    return Prompt([{"role": m.role, "content": m.text} for m in kept], {})


def prompt_from_completion(completion: dict[str, Any]) -> Prompt:
    """A `/v1` caller's own history and parameters, as they were sent."""
    return Prompt(list(completion["messages"]), dict(completion.get("parameters") or {}))


def estimate_tokens(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)


def _newest_that_fit(branch: Sequence[BranchMessage], context_window: int | None) -> Sequence[BranchMessage]:
    if context_window is None:
        return branch
    room = int(context_window * (1 - ANSWER_SHARE))
    kept: list[BranchMessage] = []
    for message in reversed(branch):
        room -= TOKENS_PER_MESSAGE + estimate_tokens(len(message.text))
        if kept and room < 0:
            break
        kept.append(message)
    return kept[::-1]


def _content_chars(message: dict[str, Any]) -> int:
    content = message.get("content")
    if isinstance(content, str):
        return len(content)
    if isinstance(content, list):
        return sum(len(str(part.get("text", ""))) for part in content if isinstance(part, dict))
    return 0
