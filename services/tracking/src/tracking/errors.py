"""Errors of the ledger.

| error | what happened | does trying again help |
|---|---|---|
| `SwitchConflict` | a `tracking_id` is known already, for another switch | no; a new id does |

`wire.database.DatabaseUnavailable` passes through: routes answer 503, jobs are tried again later.
"""

from wire.problems import Problem


class SwitchConflict(Problem):
    """The id names a switch of other models, another conversation or another person. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__(
            409, "switch_conflict", "This tracking_id already names another model switch.", errors=[_TRACKING_ID]
        )


_TRACKING_ID = {"field": "tracking_id", "message": "Already used for another model switch."}
