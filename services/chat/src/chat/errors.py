"""What can go wrong in chat.

| error | what happened | does trying again help |
|---|---|---|
| `wire.problems.Problem` | a request asks for what can't be done; answered as it stands | no |
| `wire.database.DatabaseUnavailable` | PostgreSQL is away | yes |
| `ProviderError` | the provider gave no whole answer | see `retryable` |
| ├ `ProviderRefused` | it understood and said no (4xx) | only for 408, 409 and 429 |
| ├ `ProviderUnreachable` | no connection, or none in time | yes |
| ├ `ProviderFailed` | it answered with an error of its own (5xx), or in its stream | yes |
| ├ `ProviderCut` | the stream ended before the answer did | yes |
| ├ `ProviderSilent` | nothing came for longer than the model's idle timeout | yes |
| └ `ProviderGarbled` | it sent what is no answer in OpenAI's format | yes |
| `TurnLost` | the turn belongs to another attempt now: stop, save nothing | no |
| `TurnGivenUp` | every attempt at a turn lost its worker; only reported, never raised | yes |
"""

from typing import ClassVar


class ProviderError(Exception):
    """The provider gave no whole answer. `str()` is for operators and holds no text of a prompt or an answer."""

    code: ClassVar[str]
    sentence: ClassVar[str]
    """What the person reads."""

    def __init__(self, detail: str, *, retryable: bool, worth_reporting: bool = True) -> None:
        super().__init__(detail)
        self.retryable = retryable
        self.worth_reporting = worth_reporting

    @property
    def message(self) -> str:
        return self.sentence


class ProviderRefused(ProviderError):
    """The provider understood the request and refused it."""

    code = "provider_refused"
    sentence = "The model's provider refused this request."

    def __init__(self, status: int) -> None:
        retryable = status in (408, 409, 429)
        super().__init__(f"the provider answered {status}", retryable=retryable, worth_reporting=status in (401, 403))
        self.status = status

    @property
    def message(self) -> str:
        reasons = {
            401: "The model's provider does not accept the configured key. Whoever runs this Hopline can mend that.",
            403: "The model's provider does not allow this with the configured key.",
            404: "The model's provider does not know this model. Pick another one.",
            413: "The conversation is too large for the model's provider. Start a new one, or shorten the message.",
            429: "The model's provider is busy or its limit is reached. Wait a moment and try again.",
        }
        return reasons.get(self.status, f"The model's provider refused this request (status {self.status}).")


class ProviderUnreachable(ProviderError):
    """No connection to the provider, or none in time."""

    code = "provider_unreachable"
    sentence = "The model's provider can't be reached right now. Try again in a moment, or pick another model."

    def __init__(self) -> None:
        super().__init__("no connection to the provider", retryable=True)


class ProviderFailed(ProviderError):
    """The provider answered with an error of its own."""

    code = "provider_failed"
    sentence = "The model's provider had an error. Try again, or pick another model."

    def __init__(self, what: str) -> None:
        super().__init__(what, retryable=True)


class ProviderCut(ProviderError):
    """The stream ended before the answer did."""

    code = "provider_cut"
    sentence = "The connection to the model's provider broke in the middle of the answer. Try again."

    def __init__(self) -> None:
        super().__init__("the provider's stream ended early", retryable=True)


class ProviderSilent(ProviderError):
    """Nothing came for longer than the model's idle timeout."""

    code = "provider_silent"
    sentence = "The model's provider stopped answering. Try again, or pick another model."

    def __init__(self) -> None:
        super().__init__("the provider sent nothing within the idle timeout", retryable=True)


class ProviderGarbled(ProviderError):
    """What came is no answer in OpenAI's format."""

    code = "provider_garbled"
    sentence = "The model's provider sent something that is not an answer. Try again, or pick another model."

    def __init__(self) -> None:
        super().__init__("the provider sent no valid chunk", retryable=True)


class TurnLost(Exception):
    """The turn belongs to another attempt now: nothing may be saved or published by this one."""


class TurnGivenUp(Exception):
    """Every attempt at a turn lost its worker, so it was ended as failed."""
