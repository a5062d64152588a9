"""Queries in SOQL, made of names that are names and of values that are quoted. Pure.

Facts: Salesforce's SOQL guide, "Quoted String Escape Sequences".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}").fullmatch
_ESCAPED: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "'": "\\'", **{each: f"\\{by}" for each, by in _ESCAPED.items()}})


def name(text: str) -> str:
    """A name of an object or a field. Raises ValueError for what is none.

    >>> name("Ext_Id__c")
    'Ext_Id__c'
    """
    if not _NAME(text):
        raise ValueError(f"{text!r} is no name of Salesforce's")
    return text


def quoted(value: str) -> str:
    """A text between quotes.

    >>> print(quoted("O'Neil \\\\ Sons"))
    'O\\'Neil \\\\ Sons'
    """
    return f"'{value.translate(_ESCAPES)}'"


def page(object: str, fields: Sequence[str], after: str, limit: int) -> str:
    """The next rows of an object in the order of their ids, after one of them ("": from the first).

    >>> page("Account", ["Id", "Name"], "", 2)
    'SELECT Id,Name FROM Account ORDER BY Id LIMIT 2'
    >>> page("Account", ["Id"], "001A", 2)
    "SELECT Id FROM Account WHERE Id > '001A' ORDER BY Id LIMIT 2"
    """
    where = f" WHERE Id > {quoted(after)}" if after else ""
    return f"SELECT {_names(fields)} FROM {name(object)}{where} ORDER BY Id LIMIT {limit}"


def among(object: str, fields: Sequence[str], column: str, values: Sequence[str]) -> str:
    """The rows of an object that have one of these texts in a column.

    >>> among("Account", ["Id"], "Ext__c", ["a", "b"])
    "SELECT Id FROM Account WHERE Ext__c IN ('a','b')"
    """
    listed = ",".join(map(quoted, values))
    return f"SELECT {_names(fields)} FROM {name(object)} WHERE {name(column)} IN ({listed})"


def newest(object: str) -> str:
    """When a record of an object was changed last.

    >>> newest("Account")
    'SELECT MAX(SystemModstamp) newest FROM Account'
    """
    return f"SELECT MAX(SystemModstamp) newest FROM {name(object)}"


def _names(fields: Sequence[str]) -> str:
    return ",".join(name(each) for each in fields)
