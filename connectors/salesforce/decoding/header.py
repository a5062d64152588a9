"""The header of a change event: what happened to which records, in which transaction, by whom.

Facts: Salesforce's Change Data Capture guide, "ChangeEventHeader Fields", "Gap Events", "Overflow Events".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fieldwarden.connectors.wire.unreadable import Unreadable

WRITTEN: Final = ("CREATE", "UPDATE", "DELETE", "UNDELETE")
GAPS: Final = ("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE")
OVERFLOW: Final = "GAP_OVERFLOW"
_KINDS = frozenset((*WRITTEN, *GAPS, OVERFLOW))
_MOST_MILLIS = 1 << 52
_CLIENT = ";client="


class Header(NamedTuple):
    """`kind` is one of those above; `records` are ids, or one of them a wildcard (`001*`); `at` is the commit time in
    microseconds since 1970 UTC. `changed`, `nulled` and `diffed` are bitmaps."""

    entity: str
    kind: str
    records: tuple[str, ...]
    origin: str
    transaction: str
    number: int
    at: int
    changed: tuple[str, ...]
    nulled: tuple[str, ...]
    diffed: tuple[str, ...]

    @property
    def client(self) -> str:
        """The client that wrote this by Salesforce's API, by the name that it gave itself; empty where none is told.

        >>> header({**EXAMPLE, "changeOrigin": "com/salesforce/api/rest/65.0;client=fieldwarden-7"}).client
        'fieldwarden-7'
        """
        return self.origin.partition(_CLIENT)[2]

    @property
    def everything(self) -> bool:
        """Whether it says that any records of its entity may have changed: an overflow tells of none in particular."""
        return self.kind == OVERFLOW

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The beginnings of the ids of all records that are meant by a wildcard.

        >>> header({**EXAMPLE, "recordIds": ["001*"]}).prefixes
        ('001',)
        """
        return tuple(each[:-1] for each in self.records if each.endswith("*"))

    @property
    def ids(self) -> tuple[str, ...]:
        """The records that it names one by one."""
        return () if self.everything else tuple(each for each in self.records if not each.endswith("*"))

    @property
    def identity(self) -> tuple[str, int] | None:
        """By what the same event is known if it is delivered twice. None: of a gap event, of which every one of a
        transaction has the number 1; to look twice does no harm."""
        return (self.transaction, self.number) if self.transaction and self.kind in WRITTEN else None


EXAMPLE: Final[Mapping[str, Any]] = {
    "entityName": "Account",
    "recordIds": ["001xx000003DGb2AAG"],
    "changeType": "UPDATE",
    "changeOrigin": "",
    "transactionKey": "0001a6f7-0d5c-4d1e-9c0b-0d7a2c3f4b5a",
    "sequenceNumber": 1,
    "commitTimestamp": 1_772_000_000_000,
    "commitNumber": 1_082_990_428_293,
    "commitUser": "005xx000001TT96AAG",
    "nulledFields": [],
    "diffFields": [],
    "changedFields": ["0x2"],
}
"""As Avro gives it."""


def header(told: Mapping[str, Any]) -> Header:
    """The header of an event, from Avro's record. Raises Unreadable if it is none."""
    try:
        found = Header(
            told["entityName"],
            told["changeType"],
            tuple(told["recordIds"]),
            told.get("changeOrigin") or "",
            told.get("transactionKey") or "",
            told["sequenceNumber"],
            told["commitTimestamp"] * 1_000,
            tuple(told.get("changedFields") or ()),
            tuple(told.get("nulledFields") or ()),
            tuple(told.get("diffFields") or ()),
        )
    except (KeyError, TypeError, AttributeError):
        raise Unreadable("it has no header of a change event") from None
    if found.kind not in _KINDS:
        raise Unreadable("its header says a kind of change that is none of Salesforce's")
    if not found.records or not all(type(each) is str and each and "\0" not in each for each in found.records):
        raise Unreadable("its header names no records")
    if abs(found.at) > _MOST_MILLIS * 1_000 or "\0" in found.transaction:
        raise Unreadable("its header holds what cannot be stored")
    return found
