"""What we keep on a disk is nobody else's to read, to plant, or to lock.

Another user of the machine who can open a file of ours can also lock it, and would stop every command that waits for
it; what was put there before us (a link, a pipe, a file of another's) would have us write where another wants, or wait
for ever. So our folders are 0700 and our files 0600 from their creation, what is not ours is refused by name, and every
wait for a lock ends: with the lock, or with an error that says who has it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import pwd
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from fieldwarden.engine.errors import EnvironmentUnfit

log = logging.getLogger("fieldwarden.files")  # the standard library's: on stderr too where no log was set up

PATIENCE: Final = 300.0
"""Seconds for which a lock is waited for: enough for a server's start with its crash recovery."""
_SILENT_SECONDS = 2.0
_LOCKS = Path("/proc/locks")
_FLAGS = {"a": os.O_WRONLY | os.O_APPEND, "w": os.O_WRONLY | os.O_TRUNC}


def folder(path: Path, passing: int | None = None) -> None:
    """Make a folder that only its owner may enter, with its parents; narrow it, and say so, where it lets others in.

    `passing`: a group (of the embedded server's own account) whose members may pass through, but not list it. A folder
    that is narrowed becomes that group's, since a server that runs already needs to go on passing.
    Raises EnvironmentUnfit where it is somebody else's, or a link that somebody else made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return
        link = path.lstat()
        found = path.stat() if stat.S_ISLNK(link.st_mode) else link
    except OSError as error:
        raise _unusable(path, error) from error
    ours = _owners(path.parent)
    if not {link.st_uid, found.st_uid} <= ours or not stat.S_ISDIR(found.st_mode):
        raise _foreign(path, link.st_uid if link.st_uid not in ours else found.st_uid)
    allowed = 0o710 if found.st_gid == passing else 0o700
    if stat.S_IMODE(found.st_mode) & ~allowed & 0o777:
        _narrow(path, stat.S_IMODE(found.st_mode), passing)


def opened(path: Path, mode: Literal["a", "w"] = "a") -> IO[bytes]:
    """Open a file in a private folder to add to it, or to write it anew; it is made, and kept, 0600.

    Raises EnvironmentUnfit for a link, for anything but a file, and for somebody else's file."""
    flags = _FLAGS[mode] | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would be waited for
    owner = path.parent.stat().st_uid
    try:
        handle = os.open(path, flags & ~os.O_TRUNC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    file = os.fdopen(handle, f"{mode}b")
    try:
        _check(path, os.fstat(handle), handle, owner)
        if flags & os.O_TRUNC:
            os.ftruncate(handle, 0)
    except BaseException:
        file.close()
        raise
    return file


def write(path: Path, text: str) -> None:
    """Write a file of ours anew, 0600. Raises EnvironmentUnfit as `opened` does."""
    with opened(path, "w") as file:
        file.write(text.encode())


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, seconds: float = PATIENCE) -> Iterator[None]:
    """Hold a file's lock while the context lasts; the file is made where it is missing.

    After two seconds of waiting it is said once for whom. Raises EnvironmentUnfit where another user holds it, at
    once, and where a process of ours holds it still after `seconds`."""
    with opened(path) as file:
        _wait(file, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, seconds)
        yield


def try_lock(file: IO[bytes], how: int = fcntl.LOCK_EX) -> bool:
    """Take the lock of an open file if nobody stands in the way."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(file: IO[bytes], path: Path, how: int, seconds: float) -> None:
    begun, told = time.monotonic(), False
    while not try_lock(file, how):
        holder, waited = _holder(file), time.monotonic() - begun
        # Root is waited for by everybody: it may work in anybody's project, and needs no lock to do harm.
        if holder is not None and holder.user not in _owners(path.parent) | {0}:
            raise EnvironmentUnfit(
                f"the lock {path} is held by {holder}, who is another user",
                suggestion="have that process ended; the folder is closed to others from now on",
                path=str(path),
            )
        if waited > seconds:
            raise EnvironmentUnfit(
                f"the lock {path} has been held for {int(seconds)} s by {holder or 'another process'}",
                suggestion="look at what that process does, end it if it hangs, and run the command again",
                path=str(path),
            )
        if waited > _SILENT_SECONDS and not told:
            told = True
            log.warning("waiting for %s, who holds the lock %s", holder or "another process", path)
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class _Holder:
    process: int
    user: int
    program: str

    def __str__(self) -> str:
        return f"process {self.process} ({self.program}) of {_name(self.user)}"


def _holder(file: IO[bytes]) -> _Holder | None:
    """Who holds the lock of a file, as the kernel lists it (Linux: proc_locks(5)); None where that is not told."""
    with contextlib.suppress(OSError, ValueError):
        inode = f"{_device(file)}:{os.fstat(file.fileno()).st_ino}"
        for line in _LOCKS.read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5] == inode and int(words[4]) > 0:
                place = Path("/proc") / words[4]
                return _Holder(int(words[4]), place.stat().st_uid, (place / "comm").read_text().strip())
    return None


def _device(file: IO[bytes]) -> str:
    """The file system of a file as /proc/locks writes it, since another one has files of the same number.

    Not by st_dev, which is another number on file systems with several trees (btrfs, overlay): the mount tells the
    kernel's own (proc_pid_mountinfo(5)). Raises ValueError where it is not told, OSError without /proc."""
    told = Path(f"/proc/self/fdinfo/{file.fileno()}").read_text().split()
    mount = told[told.index("mnt_id:") + 1]
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        if words[0] == mount:
            major, minor = map(int, words[2].split(":"))
            return f"{major:02x}:{minor:02x}"
    raise ValueError(f"no mount {mount}")


def _owners(folder: Path) -> set[int]:
    """Whose files are as good as ours in a folder: root, who may work in anybody's project, takes its owner's."""
    return {os.geteuid(), folder.stat().st_uid} if os.geteuid() == 0 else {os.geteuid()}


def _check(path: Path, found: os.stat_result, handle: int, owner: int) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in _owners(path.parent):
        raise _foreign(path, found.st_uid)
    if found.st_mode & 0o077:
        os.fchmod(handle, 0o600)
    if found.st_uid != owner and os.geteuid() == 0:  # the owner of the project has to be able to use it after us
        os.fchown(handle, owner, -1)


def _narrow(path: Path, mode: int, passing: int | None) -> None:
    kept = mode & 0o700 if passing is None else mode & 0o700 | 0o010
    try:
        if passing is not None:  # before the mode: at no moment is the server shut out
            os.chown(path, -1, passing)
        path.chmod(kept)
    except OSError as error:
        raise _unusable(path, error) from error
    log.warning("%s let others in (mode %04o): it is closed to them now (%04o)", path, mode, kept)


def _foreign(path: Path, user: int) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f"{path} is not ours: it belongs to {_name(user)}, or is no ordinary file or folder",
        suggestion="find out who put it there, remove it, and run the command again",
        path=str(path),
    )


def _unusable(path: Path, error: OSError) -> EnvironmentUnfit:
    why = "it is a link" if error.errno == errno.ELOOP else error.strerror or type(error).__name__
    return EnvironmentUnfit(
        f"{path} cannot be used: {why}",
        suggestion="a project is worked on by one user of the machine: run the command as its owner, or remove this",
        path=str(path),
    )


def _name(user: int) -> str:
    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"the user with id {user}"
