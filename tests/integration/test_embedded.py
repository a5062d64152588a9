"""The embedded server lives through what happens to it: kills, restarts, odd places, several users at once."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fieldwarden.engine.errors import ConfigurationError, EnvironmentUnfit
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from tests.conftest import THROW_AWAY
from tests.patience import ended, eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A 0700 folder: as root, the server's user can pass it only once it was let through."""
    path = Path(tempfile.mkdtemp(prefix="fieldwarden-embedded-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(folder / "private" / "postgres", settings=THROW_AWAY)
    (folder / "private").mkdir(mode=0o700)
    try:
        yield server
    finally:
        server.stop("immediate")


def ask(server: EmbeddedServer, query: str, database: str = "postgres") -> object:
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def postmaster(server: EmbeddedServer) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_gone(process: int) -> None:
    eventually(lambda: gone(process), f"the end of process {process}")


def test_it_starts_ready_for_logical_decoding_and_keeps_its_data(server: EmbeddedServer) -> None:
    assert not server.running()
    server.start()
    assert server.running()
    assert ask(server, "show wal_level") == "logical"
    assert ask(server, "show server_encoding") == "UTF8"
    assert ask(server, "show listen_addresses") == ""
    assert int(str(ask(server, "show max_replication_slots"))) >= 20
    ask(server, "create table kept as select 42 as answer")
    server.start()
    server.stop()
    assert not server.running()
    server.stop()
    server.start()
    assert ask(server, "select answer from kept") == 42


def test_durable_unless_told_otherwise(folder: Path) -> None:
    server = EmbeddedServer(folder / "durable")
    try:
        server.start()
        assert [ask(server, f"show {name}") for name in ("fsync", "full_page_writes", "synchronous_commit")] == [
            "on"
        ] * 3
        assert ask(server, "show wal_sender_timeout") == "1min"
    finally:
        server.stop("immediate")


@pytest.mark.long
@pytest.mark.parametrize("how", ["immediate", "kill"])
def test_it_comes_back_after_a_crash(server: EmbeddedServer, how: str) -> None:
    server.start()
    ask(server, "create table kept as select generate_series(1, 1000) as n")
    process = postmaster(server)
    if how == "kill":
        os.kill(process, signal.SIGKILL)
        await_gone(process)
        assert not server.running()
        assert (server.data / "postmaster.pid").exists()
    else:
        server.stop("immediate")
    server.start()
    assert ask(server, "select count(*) from kept") == 1000


def test_a_process_id_that_belongs_to_another_program_by_now_is_no_obstacle(server: EmbeddedServer) -> None:
    server.start()
    process = postmaster(server)
    os.kill(process, signal.SIGKILL)
    await_gone(process)
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not server.running()
    server.start()
    assert server.running()


def test_a_long_path_has_its_socket_elsewhere_in_a_folder_of_its_own(folder: Path) -> None:
    server = EmbeddedServer(folder / ("long" * 30) / "postgres", settings=THROW_AWAY)
    try:
        server.start()
        assert ask(server, "select 1") == 1
        host = Path(str(ask(server, "show unix_socket_directories")))
        assert host != server.data
        assert host.stat().st_mode & 0o077 == 0
        assert host.stat().st_uid == server.data.stat().st_uid
    finally:
        server.stop()
    assert not host.exists()


def test_a_socket_folder_that_somebody_else_may_write_is_refused(folder: Path) -> None:
    server = EmbeddedServer(folder / ("long" * 30) / "postgres", settings=THROW_AWAY)
    server.start()
    host = Path(str(ask(server, "show unix_socket_directories")))
    server.stop()
    host.mkdir()
    try:
        host.chmod(0o777)
        with pytest.raises(EnvironmentUnfit, match="not ours alone"):
            server.start()
    finally:
        shutil.rmtree(host)


def test_a_path_with_blanks_and_quotes_works(folder: Path) -> None:
    server = EmbeddedServer(folder / "it's a % folder", settings=THROW_AWAY)
    try:
        server.start()
        assert ask(server, "select 1") == 1
        out = subprocess.run(
            [*server.psql_command("postgres"), "-Atc", "select 6 * 7"], capture_output=True, check=True
        )
        assert out.stdout.strip() == b"42"
    finally:
        server.stop("immediate")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_as_root_parents_let_the_servers_own_group_pass_and_nobody_else(server: EmbeddedServer) -> None:
    server.start()
    parent = server.folder.parent
    assert parent.stat().st_mode & 0o777 == 0o710
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert server.data.stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_ordinary_user_needs_no_help(postgres: EmbeddedServer, folder: Path) -> None:
    account = postgres.data.stat()
    folder.chmod(0o711)
    home = folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, account.st_uid, account.st_gid)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(account.st_gid)
            os.setuid(account.st_uid)
            server = EmbeddedServer(home / "postgres", settings=THROW_AWAY)
            with server.use():
                worked = server.running() and ask(server, "select 42") == 42
            os._exit(0 if worked and not server.running() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert home.stat().st_mode & 0o777 == 0o700


def test_tcp_only_with_the_password_and_only_on_loopback(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = EmbeddedServer(folder / "tcp", port=port, settings=THROW_AWAY)
    try:
        server.start()
        assert ask(server, "show listen_addresses") == "127.0.0.1"
        with psycopg.connect(server.dsn(tcp=True)) as connection:
            assert connection.info.host == "127.0.0.1"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{port}/postgres")
        assert (server.folder / "password").stat().st_mode & 0o077 == 0
    finally:
        server.stop("immediate")


def test_a_server_that_cannot_start_says_why(server: EmbeddedServer) -> None:
    server.start()
    server.stop()
    broken = EmbeddedServer(server.folder, settings={**THROW_AWAY, "shared_buffers": "no number"})
    with pytest.raises(EnvironmentUnfit, match="shared_buffers") as caught:
        broken.start()
    assert str(server.log) in caught.value.suggestion


def test_an_interrupted_initdb_leaves_nothing_in_the_way(server: EmbeddedServer) -> None:
    (server.folder / "data.new" / "base").mkdir(parents=True)
    server.start()
    assert server.running()


def test_databases_are_made_whole_or_not_at_all(server: EmbeddedServer, folder: Path) -> None:
    server.start()
    script = folder / "schema.sql"
    script.write_text("create table t (n int); insert into t values (1); select nonsense;")
    with pytest.raises(ConfigurationError, match=r"schema\.sql:1:\d+: .*nonsense"):
        server.ensure_database("erp", script)
    script.write_text("create table t (n int); insert into t values (1);")
    assert server.ensure_database("erp", script) is True
    assert server.ensure_database("erp", script) is False
    assert ask(server, "select count(*) from t", "erp") == 1


# --- several processes -------------------------------------------------------------------------------------------

USER = """
import signal, sys
from pathlib import Path
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
signal.signal(signal.SIGINT, signal.SIG_IGN)
with EmbeddedServer(Path(sys.argv[1]), settings={settings!r}).use() as server:
    print(server.running(), flush=True)
    sys.stdin.read()
"""


def another_user(server: EmbeddedServer) -> subprocess.Popen[str]:
    script = USER.format(settings=THROW_AWAY)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(server.folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def leave(user: subprocess.Popen[str]) -> None:
    ended(user)  # whose input ends with it
    assert user.returncode == 0


def test_the_last_one_out_stops_it(server: EmbeddedServer) -> None:
    users = [another_user(server) for _ in range(3)]
    assert [user.stdout.readline().strip() for user in users if user.stdout] == ["True"] * 3
    with server.use(), server.use():
        assert server.running()
    for user in users[:2]:
        leave(user)
    assert server.running()
    leave(users[2])
    assert not server.running()


def test_a_killed_user_neither_takes_the_server_along_nor_keeps_it(server: EmbeddedServer) -> None:
    user = another_user(server)
    assert user.stdout
    assert user.stdout.readline().strip() == "True"
    process = postmaster(server)
    os.killpg(user.pid, signal.SIGINT)
    os.killpg(user.pid, signal.SIGKILL)
    user.communicate()
    with server.use():
        assert postmaster(server) == process, "the same server still runs"
    assert not server.running()
