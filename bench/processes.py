"""What processes cost, as Linux tells it in /proc: CPU seconds and peak memory. Elsewhere nothing is told."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Places in /proc/PID/stat after the command's closing bracket (proc(5))."""
_IDLE, _IO_WAIT = 4, 5
"""Places in the first line of /proc/stat."""


def cpu(process: int) -> float | None:
    """CPU seconds, user and system, that a process has used."""
    stat = _stat(_PROC / str(process))
    return None if stat is None else _seconds(stat)


def threads_cpu(process: int) -> dict[int, float]:
    """CPU seconds of every live thread of a process, by the thread's id."""
    found = {}
    for entry in (_PROC / str(process) / "task").glob("[0-9]*"):
        stat = _stat(entry)
        if stat is not None:
            found[int(entry.name)] = _seconds(stat)
    return found


def children_cpu(parent: int) -> dict[int, float]:
    """CPU seconds of every live child of a process, by process id."""
    found = {}
    for entry in _PROC.glob("[0-9]*"):
        stat = _stat(entry)
        if stat is not None and int(stat[_PARENT]) == parent:
            found[int(entry.name)] = _seconds(stat)
    return found


def machine_idle() -> float | None:
    """Seconds that all cores together have had nothing to run, waiting for disks included."""
    try:
        words = (_PROC / "stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return None
    return (int(words[_IDLE]) + int(words[_IO_WAIT])) / os.sysconf("SC_CLK_TCK")


def peak_memory(process: int) -> int | None:
    """The largest resident set a process has had so far, in bytes: its own, not its children's."""
    try:
        lines = (_PROC / str(process) / "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _stat(process: Path) -> list[str] | None:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _seconds(stat: list[str]) -> float:
    return (int(stat[_USER]) + int(stat[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
