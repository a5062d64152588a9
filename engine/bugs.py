"""An error that nobody foresaw, met at one record: told apart from troubles of the whole, and given a name.

A bug that one record meets is that record's: it is set aside or parked, and all else goes on. What it is called, its
fingerprint, is made of the exception's type and of the places in our code that it passed, never of its message, which
may quote a row.
"""

from __future__ import annotations

import hashlib
import traceback
from dataclasses import dataclass
from pathlib import Path

from engine.errors import FieldwardenError, ValueRefused
from engine.guard import GuardViolation

_ROOT = Path(__file__).resolve().parent.parent
_OF_A_VALUE = ("22", "23", "54")
"""Classes of SQLSTATEs for which a value is to blame: it does not fit, breaks a constraint, or is too much."""


@dataclass(frozen=True, slots=True)
class Bug:
    """`kind` is the exception's type; `places` are lines of our code, outermost first."""

    kind: str
    places: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """The same for the same bug, whatever the values that it was met with."""
        return hashlib.sha256("\n".join((self.kind, *self.places)).encode()).hexdigest()[:8]


def bug_of(error: BaseException) -> Bug:
    """What an unexpected error is called and where it came from."""
    state = getattr(error, "sqlstate", None)
    kind = type(error).__name__ + (f" {state}" if state else "")
    places = []
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_relative_to(_ROOT) and "site-packages" not in file.parts:
            places.append(f"{file.relative_to(_ROOT)}:{frame.lineno} {frame.name}")
    return Bug(kind, tuple(places))


def of_one_record(error: Exception) -> bool:
    """Whether one record, or one change, may be to blame, so that it is worth while to look for it.

    An error of the error tree means what it says, but for a value that nobody refused in time and a write outside the
    rules; of a database's errors those are meant for which a value is to blame."""
    if isinstance(error, FieldwardenError):
        return isinstance(error, (ValueRefused, GuardViolation))
    state = getattr(error, "sqlstate", None)
    return not isinstance(error, MemoryError) and (state is None or state.startswith(_OF_A_VALUE))


def reason(error: Exception, met: str) -> str:
    """Why what met the error ("this change", "this delivery") is set aside, for people: without its values."""
    if isinstance(error, ValueRefused):
        return error.message
    return f"a bug in Fieldwarden met {met} (fingerprint {bug_of(error).fingerprint})"
