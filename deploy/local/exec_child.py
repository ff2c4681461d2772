"""Becomes another program that dies with its parent: run by its path, `python -I -S exec_child.py …`.

    exec_child.py PARENT_PID DEATH_SIGNAL IDENTITY PROGRAM [ARGUMENT…]

IDENTITY is `same`, `user:UID:GID` (root becomes that user) or `namespace:UID:GID` (a user namespace in which this
user bears that number: PostgreSQL refuses to run as root, and there it isn't, while the files stay its own).

A program of its own instead of `preexec_fn`, because the launcher has threads and a fork that runs Python beside
threads can hang. Not for use from outside the launcher; it imports nothing of the package.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def enter_namespace(uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"user namespace: {os.strerror(number)}")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1")


def become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with_parent(parent: int, death_signal: int) -> None:
    """Set last: a change of user clears it. A parent that is gone already is noticed too."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"the launcher (pid {parent}) is gone")


def main() -> None:
    parent, death_signal, identity, *command = sys.argv[1:]
    kind, *numbers = identity.split(":")
    if kind == "namespace":
        enter_namespace(int(numbers[0]), int(numbers[1]))
    elif kind == "user":
        become(int(numbers[0]), int(numbers[1]))
    die_with_parent(int(parent), int(death_signal))
    os.execvp(command[0], command)  # noqa: S606 - becoming the program is the purpose


if __name__ == "__main__":
    main()
