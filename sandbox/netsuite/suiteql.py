"""SuiteQL: a copy of the books in SQLite, asked with the few functions of Oracle's that one cannot do without.

A date is shown as the account shows it, without its time, unless TO_CHAR says otherwise. Rows that ORDER BY does not
tell apart come in another order with each request, as they may in NetSuite.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from fieldwarden.sandbox.netsuite.errors import invalid

MOST = 100_000
PAGE = 1000
_DATE = "\x01"
"""Begins a text that is a date, so that it is told from a text that only looks like one."""
_PARTS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S"}
TABLES = {
    "customer": "id entityid companyname firstname lastname email phone externalid isinactive isperson datecreated "
    "lastmodifieddate",
    "contact": "id entityid firstname lastname email phone company externalid isinactive datecreated lastmodifieddate",
    "item": "id itemid displayname itemtype externalid isinactive createddate lastmodifieddate",
    "transaction": "id tranid type trandate entity status currency memo foreigntotal foreignamountunpaid "
    "externalid createddate lastmodifieddate",
    "transactionline": "id transaction item quantity rate foreignamount memo mainline",
    "deletedrecord": "recordid recordtypeid name deleteddate context",
}


def date(seconds: float) -> str:
    """As it stands in the copy: whole seconds."""
    return f"{_DATE}{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M:%S}"


class Copy:
    """The tables as one may ask them. Whoever changes the books writes here too."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        for table, columns in TABLES.items():
            names = ", ".join(f'"{each}" text' for each in columns.split())
            self._db.execute(f'create table "{table}" ({names})')
            self._db.execute(f'create index "{table}_first" on "{table}" ({columns.split()[0]})')
        self._db.execute('create index line_of on transactionline ("transaction")')
        self._db.create_function("to_date", 2, _to_date)
        self._db.create_function("to_timestamp", 2, _to_date)
        self._db.create_function("to_char", 2, _to_char)
        self._db.create_function("nvl", 2, lambda value, other: other if value is None else value)
        self._db.create_function("by_chance", 0, source.random)

    def put(self, table: str, row: dict[str, str | None]) -> None:
        """In place of the row of the same first column."""
        self.drop(table, row[TABLES[table].split()[0]])
        self._add(table, row)

    def put_line(self, row: dict[str, str | None]) -> None:
        """A line of a transaction: its number is one of many."""
        self._add("transactionline", row)

    def _add(self, table: str, row: dict[str, str | None]) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" * len(row))
        self._db.execute(f'insert into "{table}" ({names}) values ({marks})', [*row.values()])

    def drop(self, table: str, key: str | None, column: str = "") -> None:
        self._db.execute(f'delete from "{table}" where "{column or TABLES[table].split()[0]}" = ?', [key])

    def asked(self, text: str) -> list[dict[str, str]]:
        """All rows of a query; columns without a value are left out. Raises Refused."""
        query = re.sub(r"\btransaction\b", '"transaction"', text.strip().rstrip(";"), flags=re.IGNORECASE)
        query = query.replace('""transaction""', '"transaction"')
        self._db.set_authorizer(_only_reading)
        try:
            try:
                cursor = self._db.execute(self._unsettled(query))
            except sqlite3.Error:
                cursor = self._db.execute(query)
            names = [each[0].lower() for each in cursor.description or ()]
            rows = cursor.fetchmany(MOST + 1)
            if not names:
                raise invalid("Invalid search query: it selects nothing", "q")
        except sqlite3.Error as problem:
            raise invalid(f"Invalid search query. Detailed unprocessed description: {problem}", "q") from None
        finally:
            self._db.set_authorizer(None)
        if len(rows) > MOST:
            raise invalid(f"The query has more than {MOST} results", "q")
        return [_shown(names, row) for row in rows]

    def _unsettled(self, query: str) -> str:
        ordered = re.search(r"\border\s+by\b(?!.*\))", query, re.IGNORECASE | re.DOTALL)
        return f"{query}, by_chance()" if ordered else f"{query} order by by_chance()"


def _only_reading(action: int, *_: object) -> int:
    reads = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
    return sqlite3.SQLITE_OK if action in reads else sqlite3.SQLITE_DENY


def _pattern(form: str) -> str:
    return re.sub("|".join(_PARTS), lambda match: _PARTS[match[0]], form.upper())


def _to_date(text: str | None, form: str) -> str | None:
    if text is None:
        return None
    at = datetime.strptime(text, _pattern(form)).replace(tzinfo=UTC)
    return f"{_DATE}{at:%Y-%m-%d %H:%M:%S}"


def _to_char(value: str | None, form: str) -> str | None:
    if value is None or not value.startswith(_DATE):
        return value
    return datetime.strptime(value[1:], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).strftime(_pattern(form))


def _shown(names: Sequence[str], row: Sequence[object]) -> dict[str, str]:
    shown = {}
    for name, value in zip(names, row, strict=True):
        if isinstance(value, str) and value.startswith(_DATE):
            at = datetime.strptime(value[1:], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            shown[name] = f"{at.month}/{at.day}/{at.year}"
        elif value is not None:
            shown[name] = str(value)
    return shown
