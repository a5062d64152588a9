"""What a row is called whose key is personal: a short digest of the key, under a key of the hub's.

The same row is always called the same, and what a listing calls it can be handed to a command, which looks for the row
that is called so. The digest is HMAC-SHA256 (RFC 2104), written out so that PostgreSQL, which has only the hash, finds
the row itself.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.asking import MASK, Mask
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection, has_table, translated
from fieldwarden.rules.rulebook import Rulebook

_DIGITS = 10
_BLOCK = 64
_NAME = re.compile(rf"(?:.*:)?{MASK}([0-9a-f]{{{_DIGITS}}})", re.DOTALL)


class RowNames:
    """Names by one hub's key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, system: str, stream: str, key: str) -> str:
        whole = hmac.digest(self._key, f"{system}\0{stream}\0{key}".encode(), "sha256").hex()
        return MASK + whole[:_DIGITS]

    def pads(self, system: str, stream: str) -> tuple[bytes, bytes]:
        """What is hashed before the key, and what before that hash."""
        block = self._key.ljust(_BLOCK, b"\0")
        inner, outer = (bytes(each ^ pad for each in block) for pad in (0x36, 0x5C))
        return inner + f"{system}\0{stream}\0".encode(), outer


def name_in(text: str) -> str | None:
    """The digest, where a person names a row by it (also as `erp:...`); None where it is a key, or anything else."""
    found = _NAME.fullmatch(text)
    return found[1] if found else None


async def row_names(connection: Connection) -> RowNames | None:
    """Of the hub in the search path. None: its schema is older than names are."""
    if not await has_table(connection, "row_name_key"):
        return None
    with translated():
        row = await (await connection.execute(QUERIES["row_name_key"])).fetchone()
    return RowNames(bytes(row[0])) if row else None


def mask_by(names: RowNames | None, rulebook: Rulebook, *, unmask: bool = False) -> Mask:
    """What a reader may see of a hub where rows are called so."""
    return Mask(rulebook, unmask=unmask) if names is None else Mask(rulebook, unmask=unmask, naming=names.of)


async def mask_of(connection: Connection, rulebook: Rulebook, *, unmask: bool = False) -> Mask:
    """What a reader of this hub may see."""
    return mask_by(await row_names(connection), rulebook, unmask=unmask)


async def rows_named(connection: Connection, digest: str, places: Iterable[tuple[str, str]]) -> list[RowRef]:
    """The rows that are called so among those of these (system, stream): linked ones, and ones that are set aside.

    Reads every row of them once."""
    names = await row_names(connection)
    if names is None:
        return []
    found = []
    for system, stream in places:
        inner, outer = names.pads(system, stream)
        wanted = {"system": system, "stream": stream, "inner": inner, "outer": outer, "digest": digest}
        cursor = await connection.execute(QUERIES["rows_named"], wanted)
        found += [RowRef(system, stream, key) for (key,) in await cursor.fetchall()]
    return found


async def meant(connection: Connection, row: RowRef) -> RowRef:
    """The row that a person means, who may have named it so. As it is, where no row is called so."""
    digest = name_in(row.key)
    found = await rows_named(connection, digest, [(row.system, row.stream)]) if digest else []
    return found[0] if len(found) == 1 else row
