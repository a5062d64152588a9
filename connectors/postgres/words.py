"""What may be repeated of a PostgreSQL server's words, and what its own code has said.

A server's message may quote a row: a text that is no number, a key that is taken, and whatever a trigger or a function
of its database chooses to say. So what reaches a log, a check or an error is worded here, by SQLSTATE. The server's own
words are repeated only where they are made of names and constants (the classes in `_NAMES_ONLY`), and no code of the
database has a part in them. All else is kept with the dead letter, for whoever asks for values.

Facts: PostgreSQL, "Error Codes", "Error and Notice Message Fields"; what raises, by function, in its src/pl.
"""

from __future__ import annotations

import re

import psycopg

from fieldwarden.rules.scrubbing import scrub

_LONGEST = 2_000
_NAMES_ONLY = ("08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58")
_RAISING = frozenset(
    {
        *("exec_stmt_raise", "exec_stmt_assert"),  # pl_exec.c
        *("PLy_elog_impl", "PLy_output"),  # plpy_elog.c, plpy_plpymodule.c
        *("plperl_call_perl_func", "plperl_call_perl_trigger_func", "do_util_elog"),  # plperl.c, Util.xs
        *("throw_tcl_error", "pltcl_elog"),  # pltcl.c
    }
)
_CODE = re.compile(r"^(?:in )?(?:PL/\w+|SQL) (?:function|anonymous code block)", re.MULTILINE)
_FUNCTION = re.compile(r'^(?:in )?(?:PL/\w+|SQL) function "?([\w.$]+)', re.MULTILINE)
_MEANINGS = {
    "22": "a value does not fit",
    "23": "a constraint refuses it",
    "54": "a limit of the server was passed",
    "XX": "the server met an internal error",
    "F0": "the server's configuration file is locked or wrong",
}


def raised(error: psycopg.Error) -> bool:
    """Whether code of the database raised this by a statement of its own (RAISE, plpy.error, die), and so chose its
    SQLSTATE, its text and whatever else stands in it."""
    return error.diag.source_function in _RAISING


def of_code(error: psycopg.Error) -> bool:
    """Whether code of the database (a trigger, a function, a rule's) was running when it came up."""
    return raised(error) or _CODE.search(error.diag.context or "") is not None


def function(error: psycopg.Error) -> str:
    """The innermost function of the database that was running; "": none, or it is not told."""
    found = _FUNCTION.search(error.diag.context or "")
    return found[1] if found else ""


def words(error: psycopg.Error) -> str:
    """What happened, in one line that holds no value of a row."""
    state = error.sqlstate
    if state is None:  # libpq's own: of connections; what psycopg itself says of a value quotes it
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return scrub(" ".join(str(error).split())) if lost else type(error).__name__
    if of_code(error):
        name = function(error)
        what = f"the database's own function {name}" if name else "the database's own code"
        return f"{what} {'raised' if raised(error) else 'met'} an error (SQLSTATE {state})"
    if state.startswith(_NAMES_ONLY):
        return f"{' '.join((error.diag.message_primary or 'no reason given').split())} (SQLSTATE {state})"
    return f"{_MEANINGS.get(state[:2], 'the server reported an error')} (SQLSTATE {state})"


def verbatim(error: psycopg.Error) -> str:
    """All that the server said, values and all: to be kept with a dead letter, and shown to whoever asks for values."""
    diag = error.diag
    parts = {
        "": diag.message_primary,
        "detail: ": diag.message_detail,
        "hint: ": diag.message_hint,
        "query: ": diag.internal_query,
        "context: ": diag.context,
        "constraint: ": diag.constraint_name,
        "column: ": diag.column_name,
        "table: ": diag.table_name,
    }
    return "\n".join(f"{name}{text}" for name, text in parts.items() if text)[:_LONGEST]
