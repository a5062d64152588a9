"""What the product keeps on a disk is nobody else's: another user of the machine cannot read it, lock it, plant what is
used in its place, or walk into its server; and the server's log holds no row."""

from __future__ import annotations

import fcntl
import logging
import os
import pwd
import shlex
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub import migrate as migrating
from fieldwarden.engine.hub.conninfo import without_password
from fieldwarden.engine.hub.server import private
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.operations.project import STATE, state_folder
from tests.conftest import THROW_AWAY
from tests.patience import eventually

ROOT = os.geteuid() == 0
EMAIL = "ada.planted@example.org"


def as_nobody(act: Callable[[], object]) -> str:
    """What comes of it when another user of the machine does this: the name of the exception, or `done`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        become = "becoming nobody: "  # whoever cannot even do that was not refused what he came for
        try:
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            become = ""
            act()
            os.write(writing, b"done")
        except BaseException as error:
            os.write(writing, f"{become}{type(error).__name__}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def refused(act: Callable[[], object]) -> bool:
    return as_nobody(act) == "PermissionError"


def enter(dsn: str) -> None:
    """Raises PermissionError where the server's socket cannot be reached."""
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError as error:
        if "Permission denied" in str(error):
            raise PermissionError from error
        raise


def group() -> int:
    """The one group that may enter a folder of ours: the server's own, which runs as another user only for root."""
    return pwd.getpwnam("pgserver").pw_gid if ROOT else os.getegid()


another_user = pytest.mark.skipif(not ROOT, reason="only root can become another user")


@pytest.fixture
def project() -> Iterator[Path]:
    """A project's folder that everybody may enter, as one in a shared place is."""
    path = Path(tempfile.mkdtemp(prefix="fieldwarden-private-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(postgres: EmbeddedServer) -> EmbeddedServer:
    return postgres


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir() if path.is_file()}


# --- the folder ---------------------------------------------------------------------------------------------------


@another_user
def test_the_other_user_of_these_tests_may_do_what_everybody_may(project: Path) -> None:
    (project / "note").touch(0o644)
    assert as_nobody((project / "note").open) == "done"
    (project / "note").chmod(0o600)
    assert refused((project / "note").open)


def test_what_a_server_keeps_is_ours_alone(server: EmbeddedServer) -> None:
    assert modes(server.folder) == {0o600}
    assert stat.S_IMODE(server.folder.stat().st_mode) == (0o710 if ROOT else 0o700)
    assert server.folder.stat().st_gid == group()
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700


@another_user
def test_nobody_else_reads_locks_or_lists_what_a_server_keeps(server: EmbeddedServer) -> None:
    for name in ("server.log", "gate", "password", "data/postgresql.conf"):
        assert (server.folder / name).exists()
        assert refused((server.folder / name).open), name
    assert refused(lambda: list(server.folder.iterdir()))


@another_user
def test_nobody_else_reaches_the_servers_socket(server: EmbeddedServer) -> None:
    enter(server.dsn())
    assert refused(lambda: enter(server.dsn()))


def test_nobody_is_let_into_the_server_without_its_password_or_its_socket(server: EmbeddedServer) -> None:
    # Over its socket everybody is let in who can reach it; over TCP, everybody who has the password.
    tcp = f"host=127.0.0.1 port={server.port} dbname=postgres user=postgres connect_timeout=10"
    for secret in ("", "password=postgres"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"{tcp} {secret}", passfile="/nonexistent")
    socket = Path(str(conninfo_to_dict(server.dsn())["host"])) / f".s.PGSQL.{server.port}"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    with psycopg.connect(server.dsn()) as connection:
        rules = connection.execute("select type, address, auth_method from pg_hba_file_rules").fetchall()
    assert {method for kind, _, method in rules if kind != "local"} == {"scram-sha-256"}


def test_a_folder_that_let_others_in_is_closed_and_that_is_said_once(
    server: EmbeddedServer, project: Path, caplog: pytest.LogCaptureFixture
) -> None:  # on a machine that has the server's account, if it needs one
    (project / STATE).mkdir()
    (project / STATE).chmod(0o755)
    (project / STATE / "gate").touch(0o644)
    with caplog.at_level(logging.WARNING):
        state_folder(project)
        state_folder(project)
        private.opened(project / STATE / "gate").close()
    assert len(caplog.messages) == 1
    assert "let others in (mode 0755)" in caplog.messages[0]
    assert stat.S_IMODE((project / STATE).stat().st_mode) == (0o710 if ROOT else 0o700)
    assert (project / STATE).stat().st_gid == group()
    assert modes(project / STATE) == {0o600}


def test_a_new_folder_is_closed_from_its_creation_whatever_the_umask(project: Path) -> None:
    before = os.umask(0)
    try:
        private.write(state_folder(project) / "environment", "secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE((project / STATE).stat().st_mode) == 0o700
    assert modes(project / STATE) == {0o600}


@pytest.mark.skipif(not ROOT, reason="only for root the server runs as another user")
@pytest.mark.parametrize("left", [(0o755, 0o755), (0o755, 0o700), (0o700, 0o700)])
def test_closing_the_folders_of_a_server_that_runs_does_not_shut_it_out(project: Path, left: tuple[int, int]) -> None:
    # As a version left it that let others in, and as one did that closed them to the server too.
    server = EmbeddedServer(project / STATE / "postgres", settings=THROW_AWAY)
    server.start()
    try:
        for path, mode in zip((server.folder.parent, server.folder), left, strict=True):
            os.chown(path, -1, 0)
            path.chmod(mode)
        state_folder(project)
        with server.use(), psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("alter system set log_min_messages = 'fatal'")
            connection.execute("select pg_reload_conf()")
            settings = connection.execute("select name, error from pg_file_settings").fetchall()
            assert ("log_min_messages", None) in settings
        assert not server.running(), "the last one out could stop it"
        for path in (server.folder.parent, server.folder):
            assert stat.S_IMODE(path.stat().st_mode) == 0o710
    finally:
        server.stop("immediate")


# --- what another put there before --------------------------------------------------------------------------------


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o666)


@pytest.mark.parametrize("plant", [_link, _pipe])
@pytest.mark.parametrize("name", ["gate", "users", "server.log"])
def test_what_stands_in_the_place_of_a_file_of_ours_is_refused_not_followed_nor_waited_for(
    project: Path, name: str, plant: Callable[[Path], None]
) -> None:
    server = EmbeddedServer(project / STATE / "postgres", settings=THROW_AWAY)
    (project / STATE / "postgres").mkdir(parents=True)
    plant(server.folder / name)
    with pytest.raises(EnvironmentUnfit, match=name), server.use():
        pytest.fail("it was used")


@pytest.mark.skipif(not ROOT, reason="only root can make a file somebody else's")
def test_the_file_or_the_folder_of_another_user_is_refused_by_name(project: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    state = state_folder(project)
    (state / "gate").touch(0o600)
    os.chown(state / "gate", nobody.pw_uid, nobody.pw_gid)
    with pytest.raises(EnvironmentUnfit, match="belongs to the user nobody"):
        private.opened(state / "gate")
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    with pytest.raises(EnvironmentUnfit, match="belongs to the user nobody"):
        state_folder(project)
    state.rename(project / "moved")
    state.symlink_to(project / "moved")
    os.chown(state, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    with pytest.raises(EnvironmentUnfit, match="belongs to the user nobody"):
        state_folder(project)


@pytest.mark.skipif(not ROOT, reason="only root can work in a project that is another user's")
def test_what_root_makes_in_a_users_project_stays_that_users(project: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    state = state_folder(project)
    for path in (project, state):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    with private.locked(state_folder(project) / "gate"):
        pass
    assert (state / "gate").stat().st_uid == nobody.pw_uid
    assert as_nobody(lambda: private.locked(state / "gate").__enter__()) == "done"


# --- locks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hold() -> Iterator[Callable[[Path, str], int]]:
    """`hold(path, user)`: another process of this user holds the file's lock until the test ends; its id."""
    children: list[int] = []

    def start(path: Path, user: str) -> int:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setuid(pwd.getpwnam(user).pw_uid)
            fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
            os.write(writing, b"!")
            time.sleep(600)
            os._exit(0)
        children.append(child)
        os.read(reading, 1)
        os.close(reading)
        os.close(writing)
        return child

    yield start
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)


@another_user
@pytest.mark.parametrize("name", ["gate", "users"])
def test_a_lock_that_another_user_took_is_refused_at_once(
    project: Path, name: str, hold: Callable[[Path, str], int]
) -> None:
    # As it was left by a version that let others in: they may have had it open ever since.
    server = EmbeddedServer(project / STATE / "postgres", settings=THROW_AWAY)
    server.folder.mkdir(parents=True)
    for path in (server.folder.parent, server.folder):
        path.chmod(0o755)
    (server.folder / name).touch(0o644)
    child = hold(server.folder / name, "nobody")
    with pytest.raises(EnvironmentUnfit, match=rf"held by process {child} .* of the user nobody"), server.use():
        pytest.fail("it was used")


def test_a_lock_of_ours_is_waited_for_not_for_ever_and_it_is_said_for_whom(
    project: Path, hold: Callable[[Path, str], int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "_SILENT_SECONDS", 0.0)
    gate = state_folder(project) / "gate"
    private.opened(gate).close()
    child = hold(gate, pwd.getpwuid(os.geteuid()).pw_name)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(EnvironmentUnfit, match=f"process {child} "),
        private.locked(gate, seconds=0.2),
    ):
        pytest.fail("it was taken")
    assert [f"process {child} " in line for line in caplog.messages] == [True]


@another_user
def test_a_lock_of_root_is_waited_for_in_a_users_project(project: Path, hold: Callable[[Path, str], int]) -> None:
    nobody = pwd.getpwnam("nobody")
    state = state_folder(project)
    for path in (project, state):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    private.opened(state / "gate").close()
    hold(state / "gate", "root")

    def wait() -> None:
        with pytest.raises(EnvironmentUnfit, match="has been held for 0 s by process"):
            private.locked(state / "gate", seconds=0.1).__enter__()

    assert as_nobody(wait) == "done"


@another_user
def test_a_file_of_the_same_number_on_another_file_system_is_not_ours(
    project: Path, hold: Callable[[Path, str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, other = state_folder(project) / "gate", project / "other"
    private.opened(gate).close()
    other.touch(0o644)
    ours, theirs = hold(gate, "root"), hold(other, "nobody")
    kernel = Path("/proc/locks").read_text().splitlines()
    line = next(line for line in kernel if f" {theirs} " in line)
    device, number = line.split()[5].rsplit(":", 1)
    assert number == str(other.stat().st_ino)
    # There is no choosing a file's number, so the kernel's own line of their lock is moved to another device.
    moved = line.replace(f"{device}:{number}", f"ff:ff:{gate.stat().st_ino}")
    monkeypatch.setattr(private, "_LOCKS", project / "locks")
    private._LOCKS.write_text("\n".join([moved, *kernel]))
    with pytest.raises(EnvironmentUnfit, match=f"has been held for 0 s by process {ours} "):
        private.locked(gate, seconds=0.1).__enter__()


def test_a_migration_waits_for_its_turn_not_for_ever(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "_TURN_SECONDS", 1)
    with psycopg.connect(database, autocommit=True, application_name="a clerk") as clerk:
        clerk.execute("select pg_advisory_lock(%s)", [migrating._LOCK])
        pid = clerk.info.backend_pid
        with pytest.raises(EnvironmentUnfit, match=rf"session {pid} of postgres \(a clerk\)"):
            migrating.migrate(database)
    assert migrating.migrate(database)


# --- what is written down -----------------------------------------------------------------------------------------

FAILING = {
    "22P02": "insert into person (age, email) values ('{email}', '')",
    "23505": "insert into person (email) values ('{email}'), ('{email}')",
    "23514": "insert into person (email, age) values ('{email}', -1)",
    "P0001": "do $$begin raise exception 'who is {email}' using detail = '{email}', hint = '{email}'; end$$",
    "42601": "insert into person this is {email}",
    "57014": "set statement_timeout = 20; select pg_sleep(30), '{email}'",
}


def test_the_servers_log_holds_no_row_whatever_fails(server: EmbeddedServer, database: str) -> None:
    before = server.log.stat().st_size
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table person (email text unique, age int check (age > 0))")
        for state, statement in FAILING.items():
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(statement.format(email=EMAIL))
            assert caught.value.sqlstate == state
        connection.execute("reset statement_timeout")
        connection.execute(f"do $$begin raise warning 'who is {EMAIL}'; end$$")
        with pytest.raises(psycopg.Error):
            connection.execute("insert into person (email, age) values (%s, %s)", [EMAIL, -1])
        with psycopg.connect(database, autocommit=True) as other:  # what it says of itself, it goes on saying
            other.execute("select pg_terminate_backend(%s), %s::text", [connection.info.backend_pid, EMAIL])

    def written() -> str:
        return server.log.read_bytes()[before:].decode()

    eventually(lambda: "terminating connection" in written(), "the terminated session's last line", written)
    assert EMAIL not in written()
    assert "insert into" not in written()


def test_a_password_stands_in_no_command_line() -> None:
    words, password = without_password("postgresql://ada:s%20ecret@db:5/shop?sslmode=require")
    assert password == "s ecret"
    assert "ecret" not in shlex.join([words])
    assert conninfo_to_dict(words) == {"user": "ada", "host": "db", "port": "5", "dbname": "shop", "sslmode": "require"}
    assert without_password("host=db dbname=shop") == ("host=db dbname=shop", "")
