"""`make audit`: known vulnerabilities of the locked Python packages, asked of the package registry by pip-audit.

Not every registry tells of vulnerabilities, and pip-audit passes over what it gets no answer for. An audit that asked
nobody must not look like one that found nothing: it is told apart, and is no success either.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
VULNERABLE, NOT_AUDITED = 1, 3
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Audit:
    """`known` are "package version: id, id"; `unasked` the packages that nobody told anything of."""

    audited: int
    known: Sequence[str] = ()
    unasked: Sequence[str] = ()
    error: str = ""

    @property
    def code(self) -> int:
        return VULNERABLE if self.known else NOT_AUDITED if self.unasked or self.error or not self.audited else 0

    def __str__(self) -> str:
        lines = [f"VULNERABLE  {each}" for each in self.known]
        if self.error:
            lines.append(f"nothing was audited: {self.error}")
        if self.unasked:
            more = f" and {len(self.unasked) - _SHOWN} more" if len(self.unasked) > _SHOWN else ""
            lines.append(
                f"NOT audited: {len(self.unasked)} packages of which the registry tells nothing "
                f"({', '.join(self.unasked[:_SHOWN])}{more}); run it where the registry has an advisory database"
            )
        return "\n".join([*lines, f"{self.audited} packages audited, {len(self.known)} with known vulnerabilities"])


def audit(lock: Path = LOCK) -> Audit:
    """Ask of every package in the lock. Installs nothing."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    try:
        return read(json.loads(done.stdout))
    except ValueError:
        said = done.stderr.strip().splitlines()
        return Audit(0, error=said[-1] if said else f"pip-audit ended with {done.returncode}")


def read(answer: Any) -> Audit:
    """What pip-audit's JSON says."""
    packages = answer["dependencies"]
    asked = [each for each in packages if "skip_reason" not in each]
    known = [
        f"{each['name']} {each['version']}: {', '.join(found['id'] for found in each['vulns'])}"
        for each in asked
        if each["vulns"]
    ]
    return Audit(len(asked), known, [each["name"] for each in packages if "skip_reason" in each])
