"""What PostgreSQL's refusals mean for a delivery: bad data in one row, a server to wait for, or one to be mended.

Everything that is neither of the latter two is bad data, which is set aside for a person: the default asks.
Reasons name constraint, column and SQLSTATE, and are worded here: the server's own text may quote the row.
"""

from __future__ import annotations

import re
from typing import Literal

import psycopg

from fieldwarden.connectors.postgres.words import function, of_code, raised, words
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, TransientError

Verdict = Literal["data", "transient", "unfit"]

_TRANSIENT = ("08", "40", "53", "57", "58", "XX", "55P03", "55006", "25006", "26000")
_UNFIT = ("0A", "25", "28", "3D", "3F", "42", "428C9", "55", "F0")
_DATA = ("42804", "42846")
"""SQLSTATEs or their classes; the longest prefix decides. The two of class 42 come out of a target's own triggers."""

_REASONS = {
    "22001": "a value is too long for its column",
    "22003": "a number is out of its column's range",
    "22007": "a value is not a valid date or time",
    "22008": "a date or time is out of range",
    "22021": "a value holds a character that the target's encoding cannot carry",
    "22P02": "a value is not valid for its column's type",
    "22P05": "a value holds a character that the target's encoding cannot carry",
    "23502": "a column that must not be null has no value",
    "23503": "a row it refers to does not exist, or other rows still refer to it",
    "23505": "another row already holds a value that must be unique",
    "23514": "a value breaks a rule of the table",
    "23P01": "it conflicts with another row",
    "44000": "the view does not accept such a row",
    "54000": "a value is too large for an index of the table",
    "P0001": "a trigger of the target refused it",
}
_PLACE = re.compile(r"fw_\d+\D+?(\d+)(?:\D*?\b([nokpr]\d*)\b)?")


def verdict(error: psycopg.Error) -> Verdict:
    """What the target's own code raises is about the row that it was called for, whatever SQLSTATE it chose."""
    if raised(error):
        return "data"
    return _of_state(error.sqlstate)


def of_one_row(error: psycopg.Error) -> bool:
    """Whether the row that meets it alone may be to blame. It is not, where no other row gets through (`in_doubt`)."""
    return verdict(error) == "data" or in_doubt(error)


def in_doubt(error: psycopg.Error) -> bool:
    """Whether the target's own code lacks something (a privilege, a table), for this row or for all of them."""
    return verdict(error) == "unfit" and of_code(error)


def may_pass(error: psycopg.Error) -> bool:
    """Whether the row is worth a few more tries before a person is asked: the target's code says so by its SQLSTATE, or
    lacks something for the moment."""
    return in_doubt(error) or (raised(error) and _of_state(error.sqlstate) == "transient")


def _of_state(state: str | None) -> Verdict:
    if state is None:
        return "transient"
    matches = [
        (len(prefix), meaning)
        for meaning, prefixes in (("data", _DATA), ("transient", _TRANSIENT), ("unfit", _UNFIT))
        for prefix in prefixes
        if state.startswith(prefix)
    ]
    found = max(matches, default=(0, "data"))[1]
    return "transient" if found == "transient" else "unfit" if found == "unfit" else "data"


def reason(error: psycopg.Error, field: str = "") -> str:
    """Why the target refused a row, in words and without the row's values. `field` is said where it is known."""
    state, diag, own = error.sqlstate or "", error.diag, raised(error)
    text = _REASONS["P0001"] if own else _REASONS.get(state, "the target refused it")
    places = [f"field {field}" if field else ""]
    if not own:  # else they are what its code chose to say
        places += [f"constraint {diag.constraint_name}" if diag.constraint_name else ""]
        places += [f"column {diag.column_name}" if diag.column_name and not field else ""]
    name = function(error) if own or state not in _REASONS else ""
    places += [f"function {name}" if name else ""]
    return f"{text} ({', '.join([*filter(None, places), f'SQLSTATE {state}'])})"


def of_the_row(error: psycopg.Error) -> bool:
    """Whether it is another row that stands in the way: no field can be left out to help."""
    return error.sqlstate in ("23505", "23P01") and not raised(error)


def taken_by(error: psycopg.Error) -> tuple[str, str] | None:
    """(schema, name) of the constraint by which another row stands in the way."""
    schema, name = error.diag.schema_name, error.diag.constraint_name
    return (schema, name) if of_the_row(error) and schema and name else None


def copy_place(error: psycopg.Error) -> tuple[int | None, str]:
    """Where COPY stopped: the line (from 1) and the temporary table's column, as far as the server says."""
    match = _PLACE.search(error.diag.context or "")
    return (int(match[1]), match[2] or "") if match else (None, "")


def translated(system: str, stream: str, error: psycopg.Error) -> EngineError:
    """The engine's error for one that concerns the server and not a row. `stream` was being written ("": none)."""
    state = error.sqlstate
    place = f"{system} {stream}".strip()
    if verdict(error) != "unfit":
        return TransientError(
            f"{place}: the write was not made: {words(error)}",
            suggestion="it is tried again; if this stays, check the server's log",
            path=f"{system}.{stream}".strip("."),
        )
    return EnvironmentUnfit(
        f"{place}: cannot write: {words(error)}",
        suggestion=_advice(state or ""),
        path=f"{system}.{stream}".strip("."),
    )


def _advice(state: str) -> str:
    if state == "42501":
        return "grant what is missing: SELECT, INSERT, UPDATE on the mapped columns, TEMPORARY on the database"
    if state in ("42P01", "42703"):
        return "mend the stream's mapping or the table, then run `fieldwarden doctor`"
    if state == "42P10":
        return (
            "make a unique index on the stream's external_id, `unique` or key columns: it makes creating safe to repeat"
        )
    if state == "428C9":
        return "a mapped column is generated by the target: mark its field `write: false`"
    return "run `fieldwarden doctor`"
