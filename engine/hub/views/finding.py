"""Find one record by whatever a person has in hand: its id, any system's key, or the value of a match key.

Systems number their rows alike, so `42` may be three records. `erp:42` asks for the ERP's, `erp:public.address:42` for
that row of that table.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from uuid import UUID

import msgspec

from fieldwarden.engine.change import RowRef, Value, key_text
from fieldwarden.engine.deciding.identity import MatchPair, match_pairs
from fieldwarden.engine.hub.asking import AmbiguousName, Mask, NotFound, closest
from fieldwarden.engine.hub.names import name_in, rows_named
from fieldwarden.engine.hub.reading import Connection
from fieldwarden.rules.rulebook import Entity, Rulebook

_MANY = 20
golden_of = msgspec.json.Decoder(dict[str, Value]).decode


@dataclass(slots=True)
class Candidate:
    """A record that a key may mean; `how` says by what it was found."""

    record: str
    label: str
    how: str
    retired: bool = False


async def find(connection: Connection, rulebook: Rulebook, entity: Entity, key: str, mask: Mask) -> list[Candidate]:
    """Every record of the entity that `key` may mean; child rows and retired records only if nothing else has it."""
    found = await _by_id(connection, entity, key)
    found += await _by_match_key(connection, entity, key)
    rows = await _by_row(connection, rulebook, entity, key, await _named(connection, rulebook, entity, key))
    found += [candidate for root, candidate in rows if root]
    if not found:
        found = [candidate for _, candidate in rows]
    if not found:
        found = await _by_golden(connection, entity, key)
    once = {candidate.record: candidate for candidate in reversed(found)}
    labels = await labels_of(connection, rulebook, list(once), mask)
    for candidate in once.values():
        candidate.label = labels.get(candidate.record, candidate.record)
    return list(reversed(once.values()))


async def find_one(connection: Connection, rulebook: Rulebook, entity: Entity, key: str, mask: Mask) -> Candidate:
    """Raises NotFound (with what comes close), or AmbiguousName (with all that it may mean)."""
    found = await find(connection, rulebook, entity, key, mask)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(
            f"no {entity.name} is known by {key!r}" + await _set_aside(connection, entity, key),
            suggestion=await _near(connection, entity, key, mask),
        )
    listed = "\n".join(f"  {each.record}  {each.label}  ({each.how})" for each in found)
    raise AmbiguousName(
        f"{key!r} may mean {len(found)} records of {entity.name}:\n{listed}",
        [each.record for each in found],
        suggestion=f"name one by its id, or say whose key it is, as in {_first_system(rulebook, entity)}:{key}",
    )


async def _by_id(connection: Connection, entity: Entity, key: str) -> list[Candidate]:
    try:
        id = str(UUID(key))
    except ValueError:
        return []
    query = "select id::text, retired from record where id = %s::uuid and entity = %s"
    rows = await (await connection.execute(query, [id, entity.name])).fetchall()
    return [Candidate(record, "", "record id", retired) for record, retired in rows]


async def _by_match_key(connection: Connection, entity: Entity, key: str) -> list[Candidate]:
    pairs = _meant(entity, key)
    if not pairs:
        return []
    names, values = (list(column) for column in zip(*pairs, strict=True))
    cursor = await connection.execute(
        "select m.record::text, m.name, r.retired from unnest(%s::text[], %s::text[]) as p (name, value)"
        " join match_key m using (name, value) join record r on r.id = m.record"
        " where m.entity = %s order by 1 limit %s",
        [names, values, entity.name, _MANY],
    )
    return [Candidate(record, "", name, retired) for record, name, retired in await cursor.fetchall()]


def _meant(entity: Entity, key: str) -> list[MatchPair]:
    """What the key may be as a match key of one field, each in that key's own form."""
    alone = [match for match in entity.match if len(match.fields) == 1]
    return match_pairs(replace(entity, match=tuple(alone)), {match.fields[0]: key for match in alone})


async def _named(connection: Connection, rulebook: Rulebook, entity: Entity, key: str) -> list[RowRef]:
    """Rows of any system that are called so, since their key is personal."""
    digest = name_in(key)
    if digest is None:
        return []
    streams = [stream for system in rulebook.systems.values() for stream in system.streams.values()]
    places = [(each.system, each.name) for each in streams if each.entity == entity.name]
    return await rows_named(connection, digest, places)


async def _by_row(
    connection: Connection, rulebook: Rulebook, entity: Entity, key: str, named: list[RowRef]
) -> list[tuple[bool, Candidate]]:
    """Rows of any system with this key, and those `named`; True for those whose stream stands for the entity itself."""
    places: list[tuple[str, str, str]] = [(*row,) for row in named]
    roots = set()
    for system in rulebook.systems.values():
        for stream in system.streams.values():
            if stream.entity != entity.name:
                continue
            if stream.parent is None:
                roots.add((system.name, stream.name))
            for text in _spellings(key, system.name, stream.name, len(stream.key)):
                places.append((system.name, stream.name, text))
    if not places:
        return []
    systems, streams, keys = (list(column) for column in zip(*places, strict=True))
    cursor = await connection.execute(
        "select c.system, c.stream, r.id::text, r.retired from unnest(%s::text[], %s::text[], %s::text[])"
        " as p (system, stream, key) join crosswalk c using (system, stream, key)"
        " join record r on r.id = c.record where r.entity = %s order by 1, 2, 3",
        [systems, streams, keys, entity.name],
    )
    return [
        ((system, stream) in roots, Candidate(record, "", f"key in {system} {stream}", retired))
        for system, stream, record, retired in await cursor.fetchall()
    ]


def _spellings(key: str, system: str, stream: str, columns: int) -> set[str]:
    """The key as it may have been meant of this stream; a key of several columns may be written `a,b`."""
    texts = {key}
    texts.update(key.removeprefix(prefix) for prefix in (f"{system}:{stream}:", f"{system}:") if key.startswith(prefix))
    if columns > 1:
        for text in list(texts):
            parts = tuple(part.strip() for part in text.split(","))
            if len(parts) == columns:
                texts.add(key_text(parts))
    return texts


async def _by_golden(connection: Connection, entity: Entity, key: str) -> list[Candidate]:
    """Retired records have given up their match keys; what they were called is still in their golden values."""
    found = []
    for match in entity.match:
        if len(match.fields) == 1:
            cursor = await connection.execute(
                "select id::text, retired from record where entity = %s and retired and golden ->> %s = %s limit %s",
                [entity.name, match.fields[0], key, _MANY],
            )
            found += [Candidate(record, "", match.name, retired) for record, retired in await cursor.fetchall()]
    return found


async def _set_aside(connection: Connection, entity: Entity, key: str) -> str:
    """What to add where a row of that key waits and therefore stands for no record yet."""
    cursor = await connection.execute(
        "select system, stream, reason from set_aside where entity = %s and key = any(%s) order by id limit 1",
        [entity.name, [key, key.rpartition(":")[2]]],
    )
    row = await cursor.fetchone()
    return f"; a row of {row[0]} {row[1]} with that key is set aside: {row[2]}" if row else ""


async def _near(connection: Connection, entity: Entity, key: str, mask: Mask) -> str:
    """Values of match keys, not personal ones, that look like what was asked for."""
    near: list[str] = []
    fields = {match.name: match.fields[0] for match in entity.match}
    for name, value in _meant(entity, key):
        field = fields[name]
        if mask.hides(entity.name, field) or len(value) < 3:
            continue
        cursor = await connection.execute(
            "select m.value, r.golden ->> %s from match_key m join record r on r.id = m.record"
            " where m.entity = %s and m.name = %s and starts_with(m.value, %s) limit 500",
            [field, entity.name, name, value[: len(value) // 2]],
        )
        spelled: dict[str, str | None] = dict(await cursor.fetchall())
        close = difflib.get_close_matches(value, spelled, n=3, cutoff=0.7)
        near += [spelled[each] or each for each in close]
    if near:
        return closest(near[0], near)
    keys = ", ".join(match.name for match in entity.match if len(match.fields) == 1)
    return "a key is the key of any system's row, a record id" + (f", or the {keys}" if keys else "")


def _first_system(rulebook: Rulebook, entity: Entity) -> str:
    return next((system.name for system in rulebook.systems.values() if system.root(entity.name)), "SYSTEM")


async def labels_of(connection: Connection, rulebook: Rulebook, ids: list[str], mask: Mask) -> dict[str, str]:
    """What people call these records: the first match key's value they may see, else nothing better than the id."""
    if not ids:
        return {}
    query = "select id::text, entity, golden::text from record where id = any(%s::uuid[])"
    rows = await (await connection.execute(query, [ids])).fetchall()
    return {id: label(rulebook, entity, id, golden_of(text), mask) for id, entity, text in rows}


def label(rulebook: Rulebook, entity: str, id: str, golden: dict[str, Value], mask: Mask) -> str:
    known = rulebook.entities.get(entity)
    for match in known.match if known else ():
        value = golden.get(match.fields[0])
        if len(match.fields) == 1 and value is not None and not mask.hides(entity, match.fields[0]):
            return value
    return id
