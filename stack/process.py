"""One Java program of the stack: started apart from whoever starts it, found again by its id, stopped by its id."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

from fieldwarden.engine.process import inherited
from stack.artefacts import StackUnfit, java

_START_SECONDS = 120
_STOP_SECONDS = 20
_LOGGING = Path(__file__).with_name("log4j2.properties")
# Below the range from which systems take the ports of outgoing connections: nothing else settles on one unasked.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on. It stays ours by luck alone until it is used."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class JavaProcess:
    """A program in a folder of its own. The folder holds `pid`, `log` and what the program keeps.

    Any process may hold one of these for the same folder: what runs is told by the id in `pid` and by the folder's
    name in that process's command line, so that an id which now belongs to another program is never touched.
    """

    def __init__(self, folder: Path, *, heap: str, quick: bool) -> None:
        self.folder = folder
        self.log = folder / "log"
        self._pid = folder / "pid"
        self._mark = f"-Dfieldwarden.stack={folder}"
        self._options = ["-Xms64m", f"-Xmx{heap}", "-XX:+UseSerialGC" if quick else "-XX:+UseG1GC"]
        if quick:
            self._options.append("-XX:TieredStopAtLevel=1")  # starts in half the time, runs at a third of the speed

    def launch(self) -> None:
        """Start the program, unless it runs; returns at once."""
        if not self.running():
            self._spawn(*self.arguments())

    def start(self) -> None:
        """Start the program, unless it runs, and return when it answers. Raises StackUnfit with the end of its log."""
        self.launch()
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            if not self.running():
                raise self._unfit("ended instead of starting")
            if time.monotonic() > deadline:
                raise self._unfit(f"did not answer within {_START_SECONDS} s")
            time.sleep(0.05)

    def arguments(self) -> list[str]:
        """What to give to `java`; writes the settings that this names."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it serves its clients now."""
        raise NotImplementedError

    def _spawn(self, *arguments: str) -> None:
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        options = [
            *self._options,
            self._mark,
            f"-Djava.io.tmpdir={temporary}",
            f"-Dlog4j2.configurationFile={_LOGGING}",
        ]
        # Through a shell that ends at once: nobody is left to whom the program is a child to be waited for.
        script = 'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!'
        started = subprocess.run(
            ["sh", "-c", script, "sh", str(self.log), java(), *options, *arguments],
            capture_output=True,
            text=True,
            check=True,
            start_new_session=True,
            cwd=self.folder,
            env=inherited(os.environ),
        )
        self._pid.write_text(started.stdout)

    @property
    def pid(self) -> int | None:
        try:
            return int(self._pid.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def running(self) -> bool:
        pid = self.pid
        return pid is not None and self._mark in _command_line(pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal (`SIGSTOP`, `SIGCONT`, ...) if the program runs."""
        if self.running() and self.pid is not None:
            os.kill(self.pid, number)

    def stop(self) -> None:
        """Ask it to end, and wait; kill it if it does not."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        if not self._ends_within(_STOP_SECONDS):
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.send(signal.SIGKILL)
        if not self._ends_within(_STOP_SECONDS):
            raise self._unfit("could not be killed")

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _unfit(self, what: str) -> StackUnfit:
        end = self.log.read_text("utf-8", "replace").splitlines()[-15:] if self.log.exists() else []
        return StackUnfit(f"{self.folder.name} {what}; {self.log} ends:\n" + "\n".join(end))


def _command_line(pid: int) -> str:
    """Empty for a process that is gone, or dead and not yet waited for."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            return ""
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout
