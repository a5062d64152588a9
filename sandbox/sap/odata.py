"""OData in its two versions: how keys, values, entities, conditions and errors are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from fieldwarden.sandbox.frame.clock import iso, seconds_of
from fieldwarden.sandbox.frame.exchange import Answer, Refused, told
from fieldwarden.sandbox.frame.records import Json, Row
from fieldwarden.sandbox.sap.sets import PARENTS, Set

_KEY = re.compile(r"(?:(\w+)=)?'((?:[^']|'')*)'")
_TEST = re.compile(
    r"\s*(?:(?P<property>\w+)\s+(?P<sign>eq|ne|gt|ge|lt|le)\s+(?P<value>(?:\w*'(?:[^']|'')*')|[\w.:+-]+)"
    r"|(?P<function>substringof|contains|startswith|endswith)\((?P<inner>[^)]*)\))\s*"
)
_CENT, _THOUSANDTH = Decimal("0.01"), Decimal("0.001")
Fits = Callable[[Json], bool]


@dataclass(frozen=True, slots=True)
class Dialect:
    """V2 or V4."""

    four: bool

    def error(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        if self.four:
            inner = {"code": code, "message": message, "target": None}
            body: Json = {**inner, "details": [{**inner, "@Common.numericSeverity": 4}]}
            return told({"error": body}, status, headers)
        detail = {"code": code, "message": message, "propertyref": "", "severity": "error", "target": ""}
        transaction: Json = {"transactionid": "0" * 32, "errordetails": [detail]}
        return told(
            {"error": {"code": code, "message": {"lang": "en", "value": message}, "innererror": transaction}},
            status,
            headers,
        )

    def refused(self, status: int, message: str, code: str = "/IWBEP/CX_MGW_BUSI_EXCEPTION") -> Refused:
        return Refused(self.error(status, code, message))

    def value(self, kind: str, value: Any) -> Any:
        """As it stands in an answer: V2 writes numbers as text and times as `/Date(0)/`."""
        if value is None or kind in ("text", "flag"):
            return value
        if kind == "number":
            return value if self.four else format(value, "f")
        return iso(value, 0) if self.four else f"/Date({int(value * 1000)})/"

    def read(self, of: Set, name: str, given: Any) -> Any:
        """As it is kept: times as seconds, numbers as Decimal. Raises Refused."""
        kind = of.properties.get(name)
        if kind is None:
            raise self.refused(400, f"Property '{name}' does not exist in type '{of.name}'")
        try:
            if given is None or kind == "text":
                return None if given is None else str(given)
            if kind == "flag":
                return given if isinstance(given, bool) else {"true": True, "false": False}[str(given)]
            if kind == "number":
                return Decimal(str(given)).quantize(_THOUSANDTH if name.endswith("Quantity") else _CENT)
            return seconds(str(given))
        except (ValueError, KeyError, InvalidOperation):
            raise self.refused(400, f"Invalid value for property '{name}'") from None

    def entity(self, of: Set, row: Row, base: str, chosen: tuple[str, ...] = ()) -> Json:
        """One entity, without what hangs below it. What belongs to another one has no ETag of its own."""
        shown = {
            name: self.value(kind, row.data.get(name))
            for name, kind in of.properties.items()
            if not chosen or name in chosen
        }
        guarded = of.name not in PARENTS
        if self.four:
            return {"@odata.etag": etag(row), **shown} if guarded else shown
        uri = f"{base}{of.v2}/A_{of.name}({written_key(of, row.key)})"
        service = of.v2.rpartition("/")[2]
        told = {"id": uri, "uri": uri, "type": f"{service}.A_{of.name}Type"}
        return {"__metadata": {**told, "etag": etag(row)} if guarded else told, **shown}


def etag(row: Row) -> str:
    """Says nothing by its size: a later one may be smaller."""
    stamp = iso(row.modified, 0).removesuffix("Z").replace(":", "%3A")
    return f"W/\"datetimeoffset'{stamp}.{(row.version * 7654321) % 10_000_000:07}Z'\""


def seconds(text: str) -> float:
    """`/Date(1000)/`, `datetime'1970-01-01T00:00:01'`, `1970-01-01T00:00:01Z`. Raises ValueError."""
    if match := re.fullmatch(r"/Date\((-?\d+)(?:[+-]\d+)?\)/", text):
        return int(match[1]) / 1000
    if match := re.fullmatch(r"datetime(?:offset)?'([^']*)'", text):
        text = match[1]
    return seconds_of(text)


def key_of(of: Set, text: str) -> str:
    """What stands in the brackets of an address: `'1'` or `SalesOrder='1',SalesOrderItem='10'`. "" where it is none."""
    parts = {name or of.key[0]: value.replace("''", "'") for name, value in _KEY.findall(text)}
    return "/".join(parts[name] for name in of.key) if parts.keys() == {*of.key} else ""


def written_key(of: Set, key: str) -> str:
    parts = key.split("/")
    if len(parts) == 1:
        return f"'{parts[0]}'"
    return ",".join(f"{name}='{part}'" for name, part in zip(of.key, parts, strict=True))


def condition(dialect: Dialect, of: Set, text: str) -> Fits:
    """`$filter`: tests that are tied by `and` or by `or`, without brackets. Raises Refused."""
    tests: list[Fits] = []
    links: set[str] = set()
    rest = text.strip()
    while rest:
        match = _TEST.match(rest)
        if match is None:
            raise dialect.refused(400, f"Invalid system query option $filter near {rest[:40]!r}")
        tests.append(_test(dialect, of, match))
        rest = rest[match.end() :]
        link = re.match(r"(and|or)\s+", rest)
        if rest and link is None:
            raise dialect.refused(400, f"Invalid system query option $filter near {rest[:40]!r}")
        if link:
            links.add(link[1])
            rest = rest[link.end() :]
    if len(links) > 1:
        raise dialect.refused(501, "and beside or is not supported in $filter")
    return lambda data: (any if links == {"or"} else all)(test(data) for test in tests)


def _test(dialect: Dialect, of: Set, match: re.Match[str]) -> Fits:
    if match["function"]:
        words = [part.strip() for part in match["inner"].split(",")]
        name, value = (words[1], words[0]) if match["function"] == "substringof" else (words[0], words[-1])
        dialect.read(of, name, None)
        value = value.strip("'").lower()
        how = {"startswith": str.startswith, "endswith": str.endswith}.get(match["function"], str.__contains__)
        return lambda data: bool(how(str(data.get(name) or "").lower(), value))
    name, sign, given = match["property"], match["sign"], match["value"]
    bare = given[1:-1].replace("''", "'") if given.startswith("'") else given
    wanted = None if given == "null" else dialect.read(of, name, bare.removesuffix("M") if _numeric(of, name) else bare)

    def fits(data: Json) -> bool:
        held = data.get(name)
        if sign in ("eq", "ne"):
            return (held == wanted) == (sign == "eq")
        if held is None or wanted is None:
            return False
        return bool({"gt": held > wanted, "ge": held >= wanted, "lt": held < wanted, "le": held <= wanted}[sign])

    return fits


def _numeric(of: Set, name: str) -> bool:
    return of.properties.get(name) == "number"
