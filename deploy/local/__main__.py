"""`python -m local COMMAND`: the everyday commands behind the Makefile."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from .errors import LauncherError

ROOT = Path(__file__).resolve().parents[2]

Command = Callable[[argparse.Namespace], int]


def _run(_: argparse.Namespace) -> int:
    from .run import run

    return run(ROOT)


def _stop(_: argparse.Namespace) -> int:
    from .stop import stop

    return stop(ROOT)


def _clean(given: argparse.Namespace) -> int:
    from .stop import clean

    return clean(ROOT, data=given.data)


def _doctor(_: argparse.Namespace) -> int:
    from .doctor import examine

    return examine(ROOT)


def _logs(given: argparse.Namespace) -> int:
    from .log_view import show_logs

    return show_logs(ROOT, name=given.name or None)


def _person(given: argparse.Namespace) -> int:
    from .person import add_person

    return add_person(ROOT, given.name)


def _sentry_test(given: argparse.Namespace) -> int:
    from .provoke_errors import provoke_errors

    return provoke_errors(ROOT, url=given.url or None)


def _check(_: argparse.Namespace) -> int:
    from .checks import check

    return check(ROOT)


def _test(given: argparse.Namespace) -> int:
    from .checks import test

    return test(ROOT, given.arguments)


def _bench(given: argparse.Namespace) -> int:
    from .checks import bench

    return bench(ROOT, given.arguments)


TAKES_ARGUMENTS = (_test, _bench)
"""What is not known here is theirs: options of pytest and of the benchmarks."""


def _lock(given: argparse.Namespace) -> int:
    from .locks import write

    return write(ROOT, upgrade=given.upgrade)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def add(name: str, command: Command) -> argparse.ArgumentParser:
        sub = commands.add_parser(name)
        sub.set_defaults(command=command)
        return sub

    add("run", _run)
    add("stop", _stop)
    add("clean", _clean).add_argument("--data", default="")
    add("doctor", _doctor)
    add("logs", _logs).add_argument("--name", default="")
    add("person", _person).add_argument("name")
    add("sentry-test", _sentry_test).add_argument("--url", default="")
    add("check", _check)
    add("test", _test)
    add("bench", _bench)
    add("lock", _lock).add_argument("--upgrade", default="")
    return parser


def main() -> int:
    parser = _parser()
    given, given.arguments = parser.parse_known_args()
    command: Command = given.command
    if given.arguments and command not in TAKES_ARGUMENTS:
        parser.error(f"unknown: {' '.join(given.arguments)}")
    try:
        return command(given)
    except LauncherError as error:
        sys.stderr.write(f"hopline: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
