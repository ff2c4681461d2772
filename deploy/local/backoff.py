"""How soon a process that died is started again, and when that is given up."""

from __future__ import annotations

DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
QUICK_S = 15.0


class Backoff:
    """Counts the quick deaths of each process in a row; one that lived longer starts afresh."""

    def __init__(self) -> None:
        self._quick: dict[str, int] = {}

    def delay_s(self, name: str, *, lived_s: float) -> float | None:
        """None: give up."""
        count = self._quick.get(name, 0) if lived_s < QUICK_S else 0
        if count == len(DELAYS_S):
            return None
        self._quick[name] = count + 1
        return DELAYS_S[count]
