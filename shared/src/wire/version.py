"""The version of this build, the same for every process."""

from importlib.metadata import version

VERSION = version("wire")
