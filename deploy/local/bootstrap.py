"""`python3 deploy/local/bootstrap.py COMMAND …`: the way in, with whatever Python the machine has.

Says clearly when that is too old, and goes on as a newer one when there is one under another name. Everything else
is in `prepare.py`, which an old Python could not even read.
"""

import os
import shutil
import sys

OLDEST = (3, 11)
TOO_OLD = "Hopline needs Python 3.11 or newer and this is {}.{}: install one, or say `make PYTHON=/path/to/it …`."


def main() -> None:
    require_python()
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from local.prepare import main as prepare

    prepare()


def require_python() -> None:
    if sys.version_info >= OLDEST:
        return
    for minor in range(15, OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            os.execv(found, [found, *sys.argv])  # noqa: S606 - the same program under a newer Python
    sys.exit(TOO_OLD.format(*sys.version_info[:2]))


if __name__ == "__main__":
    main()
