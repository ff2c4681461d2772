"""Renews the leases of all turns of this process and checkpoints their texts, in one statement.

| figure | value | why |
|---|---|---|
| `LEASE_S` | 8 | a worker that died is noticed within it |
| `RENEW_EVERY_S` | 2 | three renewals may fail before the lease ends |
| `RENEW_TIMEOUT_S` | 2 | a renewal that hangs leaves time for another one |
| a reader's staleness | ≤ 2 s | what a flushed Redis costs |

Time is the database's: a worker's clock decides nothing.
"""

import asyncio

from chat.running_turns import RunningTurns
from chat.stores.turn_store import Checkpoint, renew_leases
from wire.database import Database
from wire.ids import TurnId
from wire.log import get_logger

RENEW_EVERY_S = 2.0
RENEW_TIMEOUT_S = 2.0

log = get_logger(__name__)


class LeaseKeeper:
    def __init__(self, database: Database, turns: RunningTurns) -> None:
        self._database = database
        self._turns = turns

    async def renew(self) -> None:
        """Every turn here has its lease and its text saved; one that is another's by now is interrupted as lost.

        Raises:
            DatabaseUnavailable, TimeoutError: perhaps nothing was renewed; the turns go on, since only the database can
                say that they are lost.
        """
        turns = sorted(self._turns.all(), key=lambda turn: turn.id)  # rows are locked in one order everywhere
        if not turns:
            return
        lengths = [turn.length for turn in turns]
        checkpoints = [
            Checkpoint(turn.id, turn.attempt, None if turn.length == turn.checkpointed_length else turn.text)
            for turn in turns
        ]
        async with asyncio.timeout(RENEW_TIMEOUT_S), self._database.transaction() as connection:
            renewed = await renew_leases(connection, checkpoints)
        for turn, length in zip(turns, lengths, strict=True):
            if self._turns.get(turn.id) is not turn:
                continue  # it ended while the statement ran
            turn.checkpointed_length = length
            stop_requested = renewed.get(turn.id)
            if stop_requested is None:
                log.warning("turn is lost to another attempt", turn_id=turn.id, attempt=turn.attempt)
                turn.interrupt("lost")
            elif stop_requested:
                turn.interrupt("stopped")

    def stop(self, turn_id: TurnId) -> None:
        """A person pressed stop; the flag is in the database already, this makes it quick."""
        turn = self._turns.get(turn_id)
        if turn is not None:
            turn.interrupt("stopped")
