"""What can go wrong in the launcher, each with the one sentence that a person reads.

| error | when | trying again |
|---|---|---|
| `LauncherError` | the root of the tree | |
| `SettingError` | a setting in the environment or in `.env` makes no sense | after changing it |
| `AlreadyRunning` | another stack holds the state directory | after `make stop` |
| `PortTaken` | something else listens on one of our ports | after ending it, or with another port |
| `PrepareError` | a tool, a download or a build failed | often |
| `StartError` | a process ended or was not ready in time | after what its sentence says |
| `Stopped` | the stack was closed while this call was waiting for it | no |
"""

from __future__ import annotations


class LauncherError(Exception):
    """One sentence: what happened and what to change."""


class SettingError(LauncherError):
    """Names the setting."""


class AlreadyRunning(LauncherError):
    """Names the process that holds the state directory."""


class PortTaken(LauncherError):
    """Names the port, who has it when that can be seen, and the setting."""


class PrepareError(LauncherError):
    """Names the step and where its log is."""


class StartError(LauncherError):
    """Names the process and what it last said."""


class Stopped(LauncherError):
    """The stack is being closed; nothing is wrong."""
