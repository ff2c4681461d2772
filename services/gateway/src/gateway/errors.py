"""What can go wrong in the gateway. All of these are answered as they stand.

| error | what happened | does trying again help |
|---|---|---|
| `wire.problems.Problem` | the root: a status, a stable code, a sentence for a person | |
| ├ `ServiceUnavailable` | another process can't be reached, or answered nonsense | yes |
| ├ `SignInRequired` | no key, or one that is unknown or revoked | with another key |
| ├ `UnknownModel` | a model that is not configured | with another model |
| ├ `TurnNotFinished` | the gateway stops, or both Redis and chat are away, while a `/v1` call waits | yes |
| └ `TurnFailed` | the answer to a `/v1` call failed | if its turn says so |
| `wire.database.DatabaseUnavailable` | the gateway's own database is away | yes |
"""

from wire.contracts.chat import TurnError
from wire.problems import Problem

PARTS = {
    "chat": "The part that holds conversations (chat)",
    "chat-worker": "The part that writes answers (chat-worker)",
    "tracking": "The part that counts usage (tracking)",
    "tracking-worker": "The part that keeps the ledger (tracking-worker)",
}


class ServiceUnavailable(Problem):
    """A service can't be reached or gave no answer in time. What it was asked to do may or may not have happened."""

    def __init__(self, service: str) -> None:
        super().__init__(
            503,
            f"{service}_unavailable",
            f"{PARTS[service]} can't be reached right now. Try again in a moment.",
            headers={"Retry-After": "2"},
        )
        self.service = service


class SignInRequired(Problem):
    """Nobody is signed in: there is no key, or it is not good any more."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(401, code, detail, headers={"WWW-Authenticate": "Bearer"})


class UnknownModel(Problem):
    """The model is not among those configured. Another one may be."""

    def __init__(self, model: str) -> None:
        sentence = f"There is no model named {model!r} here."
        super().__init__(422, "unknown_model", sentence, errors=[{"field": "model", "message": sentence}])


class TurnNotFinished(Problem):
    """The answer is still under way but can't be followed from here any longer. Asking again helps."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "interrupted",
            "The answer could not be followed to its end from here. Try again in a moment.",
            headers={"Retry-After": "2"},
        )


class TurnFailed(Problem):
    """The provider, or Hopline, could not finish the answer."""

    def __init__(self, error: TurnError) -> None:
        status = 503 if error.retryable else 502
        super().__init__(status, error.code, error.message, headers={"x-should-retry": str(error.retryable).lower()})
