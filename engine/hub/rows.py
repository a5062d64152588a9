"""Records and lists as the hub's wire carries them: COPY rows, array literals, and records out of query rows.

Written by hand because this is the hot path: a driver-made array or row costs several microseconds an element.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.delivering.settling import Note, noted
from fieldwarden.engine.hub.pieces import Line, copied, copied_bytes, copied_rows, copied_values
from fieldwarden.engine.large import Pieces
from fieldwarden.engine.record import LARGE, Contribution, Record

_encode = msgspec.json.Encoder().encode
_decode_golden = msgspec.json.Decoder(dict[str, Value]).decode
_decode_rows = msgspec.json.Decoder(list[Contribution]).decode
_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def text_array(items: Sequence[str]) -> str:
    """PostgreSQL's array literal of texts."""
    if not items:
        return "{}"
    joined = '","'.join(items)
    if "\\" in joined or joined.count('"') != 2 * (len(items) - 1):
        joined = '","'.join(item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return '{"' + joined + '"}'


def json_array(items: Sequence[bytes]) -> str:
    """The same of JSON as encoders write it, which holds quotes but no control characters."""
    joined = b"\x1f".join(items).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\x1f", b'","')
    return '{"' + joined.decode() + '"}' if items else "{}"


def plain_array(items: Iterable[str]) -> str:
    """The same of items that never need quoting: UUIDs, numbers."""
    return "{" + ",".join(items) + "}"


def copied_text(text: str) -> str:
    """A text as a column of a COPY row."""
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


def copied_json(data: bytes) -> bytes:
    """JSON as a column of a COPY row: encoders escape tabs and line ends themselves, so only backslashes matter."""
    return data.replace(b"\\", b"\\\\") if b"\\" in data else data


def copied_contributions(rows: Sequence[Contribution]) -> bytes:
    return copied_json(_encode(rows))


def new_record_row(record: Record) -> Line:
    """A row for `copy_records`; a new record has revision 1."""
    head = f"{record.id}\t{record.entity}\t{record.version}\t1\t{'t' if record.retired else 'f'}\t"
    if record.large:
        return _large_row(head, record)
    return b"%b%b\t%b\n" % (head.encode(), copied_json(_encode(record.golden)), copied_contributions(record.rows))


def new_state_row(record: Record) -> Line:
    """A row for `copy_new_state`."""
    head = f"{record.id}\t{record.version}\t{'t' if record.retired else 'f'}\t"
    if record.large:
        return _large_row(head, record)
    return b"%b%b\t%b\n" % (head.encode(), copied_json(_encode(record.golden)), copied_contributions(record.rows))


def _large_row(head: str, record: Record) -> Iterator[bytes]:
    yield head.encode()
    yield from copied_values(record.golden)
    yield b"\t"
    yield from copied_rows(record.rows)
    yield b"\n"


def entry_row(head: bytes, n: int, record: str, version: int, body: bytes | Pieces) -> Line:
    """A row for `copy_entries`; `head` is the block's."""
    if isinstance(body, bytes) and len(body) <= LARGE:
        return b"%b%d\t%b\t%d\t%b\n" % (head, n, record.encode(), version, copied_json(body))
    pieces = copied_bytes(body) if isinstance(body, bytes) else copied(body)
    return chain([b"%b%d\t%b\t%d\t" % (head, n, record.encode(), version)], pieces, [b"\n"])


def noted_link_row(row: RowRef, record: str, sent: Mapping[str, Value], large: bool) -> Line:
    """A row for `copy_links`, with what was written into the row. `large`: as the record is."""
    if not large:
        return link_row(row, record, note(sent))
    place = f"{copied_text(row.system)}\t{copied_text(row.stream)}\t{copied_text(row.key)}\t{record}\t"
    return chain([place.encode()], copied_values(sent), [b"\n"])


def link_row(row: RowRef, record: str, sent: bytes | None = None) -> bytes:
    """A row for `copy_links`."""
    place = f"{copied_text(row.system)}\t{copied_text(row.stream)}\t{copied_text(row.key)}\t{record}\t"
    return b"%b%b\n" % (place.encode(), b"\\N" if sent is None else copied_json(sent))


def match_key_row(entity: str, name: str, value: str, record: str) -> bytes:
    """A row for `copy_match_keys`."""
    return f"{copied_text(entity)}\t{copied_text(name)}\t{copied_text(value)}\t{record}\n".encode()


def record_of(row: Sequence[Any], notes: Sequence[Note] = ()) -> Record:
    """A record out of (id, entity, version, golden, contributions, retired, ...) and the notes about its rows."""
    return Record(row[0], row[1], row[2], _decode_golden(row[3]), contributions_of(row[4], notes), row[5])


def contributions_of(text: str, notes: Sequence[Note] = ()) -> list[Contribution]:
    rows = _decode_rows(text)
    if notes:
        noted(rows, notes)
    return rows


def notes_of(rows: Iterable[Sequence[Any]]) -> dict[str, list[Note]]:
    """Notes by record, out of the rows of the query `notes`."""
    found: dict[str, list[Note]] = {}
    for record, system, stream, key, sent in rows:
        found.setdefault(record, []).append((RowRef(system, stream, key), _decode_golden(sent)))
    return found


def values_of(text: str) -> dict[str, Value]:
    """What `note` made."""
    return _decode_golden(text)


def note(values: Mapping[str, Value]) -> bytes:
    """What was written into a created row, as its link keeps it."""
    return _encode(values)
