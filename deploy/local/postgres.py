"""The embedded PostgreSQL: made once, started on loopback with a password, one role and one database a service."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping

from .child import EXEC_CHILD, Command
from .errors import PrepareError, StartError
from .postgres_home import Home, is_cluster
from .process_table import DATABASE_SETTINGS

ADMIN = "hopline"
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
    "log_line_prefix": "",
    # What a statement holds is nobody's business in a log, and the services report their own errors.
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# A script for psql, whose `\gexec` runs what the query before it answers. Names and passwords are made here: none
# needs quoting.
MAKE_DATABASE = """
SELECT 'CREATE ROLE {name} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec
ALTER ROLE {name} PASSWORD '{password}';
SELECT 'CREATE DATABASE {name} OWNER {name}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
"""
LIST_DATABASES = """
SELECT datname, system_identifier, oid FROM pg_database, pg_control_system() WHERE datname LIKE 'hopline\\_%'
"""


class Postgres:
    def __init__(self, home: Home, *, port: int, secrets: Mapping[str, str]) -> None:
        self.home = home
        self._port = port
        self._secrets = secrets

    def prepare(self) -> None:
        """A cluster is there that this program can open.

        Raises:
            PrepareError: it was made by another major version, or can't be made.
        """
        version_file = self.home.data / "PG_VERSION"
        if not is_cluster(self.home.data):
            self._make_cluster()
        made_by, program = version_file.read_text().strip(), self._major_version()
        if made_by != program:
            raise PrepareError(
                f"The database in {self.home.data} was made by PostgreSQL {made_by} and this is PostgreSQL {program}: "
                "move the data over with pg_dump, or remove the folder to start empty."
            )

    def command(self) -> Command:
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        program = str(self.home.binaries / "postgres")
        return Command(
            args=[program, "-D", str(self.home.data), "-p", str(self._port), *options],
            cwd=self.home.data,
            identity=self.home.identity,
            death_signal=signal.SIGINT,
        )

    def accepts(self) -> bool:
        """Raises:
        StartError: it refuses our password.
        """
        answer = self._psql("SELECT 1")
        if "password authentication failed" in answer.stderr:
            raise StartError(
                f"PostgreSQL in {self.home.data} refuses the password in the secrets file beside it: "
                "bring back the file it was made with, or remove the folder to start empty."
            )
        return answer.returncode == 0

    def make_databases(self) -> dict[str, str]:
        """Each service's role, with the password of the secrets, and its database exist.

        What comes back tells a database from every other one: its cluster's identifier and its own number.
        """
        script = "".join(
            MAKE_DATABASE.format(
                name=f"hopline_{service}", password=self._secrets[f"{service.upper()}_DATABASE_PASSWORD"]
            )
            for service in DATABASE_SETTINGS
        )
        answer = self._psql(script + LIST_DATABASES)
        if answer.returncode != 0:
            raise StartError(f"The databases could not be made: {answer.stderr.strip()}")
        rows = [line.split("|", 1) for line in answer.stdout.splitlines() if line.startswith("hopline_")]
        return {name.removeprefix("hopline_"): identity for name, identity in rows}

    def _psql(self, script: str) -> subprocess.CompletedProcess[str]:
        program = [str(self.home.binaries / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        target = ["-h", "127.0.0.1", "-p", str(self._port), "-U", ADMIN, "-d", "postgres"]
        env = {"PGPASSWORD": self._secrets["POSTGRES_PASSWORD"], "PGCONNECT_TIMEOUT": "5", "LC_ALL": "C"}
        return subprocess.run(
            [*program, *target], input=script, env=env, capture_output=True, text=True, check=False, timeout=60
        )

    def _make_cluster(self) -> None:
        data = self.home.data
        for left in data.iterdir():  # of an attempt that was broken off: PG_VERSION is missing
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        password_file = data.parent / f"{data.name}.password"
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self._secrets["POSTGRES_PASSWORD"] + "\n")
        os.chown(password_file, *self.home.owner)
        try:
            self._run_as_server(
                *(str(self.home.binaries / "initdb"), "-D", str(data), "-U", ADMIN, "-E", "UTF8"),
                *("--locale-provider=builtin", "--locale=C.UTF-8", "--lc-messages=C", "--lc-ctype=C", "--lc-collate=C"),
                *("--auth=scram-sha-256", f"--pwfile={password_file}"),
            )
        finally:
            password_file.unlink()

    def _run_as_server(self, *args: str) -> None:
        wrapper = [sys.executable, "-I", "-S", str(EXEC_CHILD), str(os.getpid()), "9", self.home.identity]
        done = subprocess.run([*wrapper, *args], capture_output=True, text=True, check=False, timeout=120, cwd="/")
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise PrepareError(f"The database could not be made in {self.home.data}: {last}")

    def _major_version(self) -> str:
        program = str(self.home.binaries / "postgres")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
        return said.split()[2].split(".")[0]
