"""The checks of streams that read one table: they have one key, and no row is written through two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from fieldwarden.rules.expressions import Expression
from fieldwarden.rules.findings import Page
from fieldwarden.rules.folding import expression, physical
from fieldwarden.rules.models import StreamModel, SystemFile
from fieldwarden.rules.tables import overlap


def check_tables(model: SystemFile, page: Page, written: Mapping[str, Mapping[str, str]]) -> None:
    """`written` says of each stream what writes which column (a field's name, or parent, set, external_id)."""
    for one, other in _pairs(model):
        first, second = model.streams[one], model.streams[other]
        if first.key != second.key:
            message = f"{one} and {other} read one table, but the key of {one} is {', '.join(first.key)}"
            page.error(("streams", other, "key"), message, f"key: [{', '.join(first.key)}]")
            continue
        carried = first.external_id if first.entity == second.entity else None
        if carried is not None and carried == second.external_id and not (first.unique and second.unique):
            message = f"{one} and {other} both carry the record's id in {carried}: one row is taken for the other's"
            hint = "name unique: in both, with what tells them apart, or leave external_id out"
            page.error_at_key(("streams", other, "external_id"), message, hint)
        both = sorted(_columns(written[one]) & _columns(written[other]))
        if (first.entity != second.entity and not both) or _apart(first, second):
            continue
        message = f"{one} and {other} read one table, and a row can be in both by their `where`"
        if first.entity != second.entity:
            message += f"; both write {both[0]}"
        at = ("streams", other, "where") if second.where is not None else ("streams", other)
        page.error_at_key(at, message, "give each a `where:` that no row of the other fulfils")


def _pairs(model: SystemFile) -> Iterator[tuple[str, str]]:
    tables: dict[tuple[str, ...], list[str]] = {}
    for name, stream in model.streams.items():
        tables.setdefault(physical(model, stream.table or name), []).append(name)
    for names in tables.values():
        yield from combinations(names, 2)


def _columns(written: Mapping[str, str]) -> set[str]:
    return {column for column, by in written.items() if by not in ("parent", "set")}


def _apart(one: StreamModel, other: StreamModel) -> bool:
    """Whether it is not certain that rows are in both; where nobody can tell, each row is looked at as it comes."""
    try:
        return overlap(_where(one), _where(other)) != "always"
    except ValueError:
        return True  # what is wrong with the expression is said there


def _where(stream: StreamModel) -> Expression | None:
    return None if stream.where is None else expression(stream.where)
