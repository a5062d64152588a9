"""An error that nobody foresaw, met at one record: told apart from troubles of the whole, and given a name.

A bug that one record meets is that record's: it is set aside or parked, and all else goes on. What it is called, its
fingerprint, is made of the exception's type and of the places in our code that it passed, never of its message, which
may quote a row. So does its traceback, as it is filed and shown, leave out all words that may quote one.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldwarden.engine.errors import FieldwardenError, ValueRefused
from fieldwarden.engine.guard import GuardViolation
from fieldwarden.rules.scrubbing import scrub

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


class BugElsewhere(RuntimeError):
    """A bug that another process of ours met; the message is `described` of it."""


_WITHOUT_VALUES = (
    FieldwardenError,
    BugElsewhere,
    AttributeError,
    ImportError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ZeroDivisionError,
)
"""Whose words are shown: ours hold no value by contract, the others speak of the program's own names and types."""


def described(error: BaseException) -> str:
    """A traceback that may be shown and sent: where it happened, in what order, and no word that may quote a row."""
    return scrub("".join(_described(error, set())))


def _described(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _described(before, seen)
        met = "was the cause of" if error.__cause__ else "was being handled at the time of"
        yield f"\nThe exception above {met} the following:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}: {_words(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield "\n--- one of the group:\n"
            yield from _described(each, seen)


def _words(error: BaseException) -> str:
    """What an exception says of the program. Of a database's error: its state, and what it names."""
    if isinstance(error, _WITHOUT_VALUES):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    state, diag = getattr(error, "sqlstate", None), getattr(error, "diag", None)
    if state is None:
        return "(its words are not shown: they may quote data)"
    named = [getattr(diag, f"{each}_name", None) for each in ("schema", "table", "column", "datatype", "constraint")]
    return f"SQLSTATE {state} {' '.join(filter(None, named))}".rstrip()
