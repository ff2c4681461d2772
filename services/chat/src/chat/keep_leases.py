"""Renews the leases of all turns of this process and checkpoints their texts, in one statement.

| figure | value | why |
|---|---|---|
| `LEASE_S` | 8 | a worker that died is noticed within it |
| `RENEW_EVERY_S` | 2 | three renewals may fail before the lease ends |
| a reader's staleness | ≤ 2 s | what a flushed Redis costs |

Time is the database's: a worker's clock decides nothing.
"""

from chat.running_turns import RunningTurns
from chat.stores.turn_store import Checkpoint, renew_leases
from wire.database import Database
from wire.ids import TurnId
from wire.log import get_logger

RENEW_EVERY_S = 2.0

log = get_logger(__name__)


class LeaseKeeper:
    def __init__(self, database: Database, turns: RunningTurns) -> None:
        self._database = database
        self._turns = turns

    async def renew(self) -> None:
        """Every turn here has its lease and its text saved; one that is another's by now is interrupted as lost.

        Raises:
            DatabaseUnavailable: nothing was renewed; the turns go on, since only the database can say they are lost.
        """
        turns = self._turns.all()
        if not turns:
            return
        checkpoints = [Checkpoint(turn.id, turn.attempt, turn.text) for turn in turns]
        async with self._database.transaction() as connection:
            renewed = await renew_leases(connection, checkpoints)
        for turn in turns:
            if self._turns.get(turn.id) is not turn:
                continue  # it ended while the statement ran
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
