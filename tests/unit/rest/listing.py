"""A vendor that lists its rows in pages, while people go on working: for what must hold of any pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fieldwarden.connectors.rest.description import KeysetPages, OffsetPages, TokenPages
from fieldwarden.connectors.rest.pages import Got, PageAt, after_page, first_page

Pages = OffsetPages | TokenPages | KeysetPages


@dataclass
class Listing:
    """Rows by id, listed in the order of their ids."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    def put(self, id: int) -> None:
        self.rows[id] = {"id": str(id), "sort": f"{id:06d}"}

    def answer(self, page: Pages, at: PageAt) -> Got:
        """As a server gives one page."""
        listed = [self.rows[id] for id in sorted(self.rows)]
        if isinstance(page, OffsetPages):
            start = at.offset - page.first
            found = listed[start : start + page.size]
            return _got({"data": found})
        size = page.size
        assert size is not None
        after = at.after[0] if isinstance(page, KeysetPages) and at.after else f"{int(at.token or -1):06d}"
        found = [row for row in listed if row["sort"] > after]
        more = len(found) > size
        found = found[:size]
        return _got({"data": found, "more": more, "next": found[-1]["id"] if found and more else None})


def read(listing: Listing, page: Pages, meanwhile: Callable[[int], None], most: int = 2000) -> set[str]:
    """The ids of all pages. `meanwhile` is what people do after each of them."""
    at: PageAt | None = first_page(page)
    told: set[str] = set()
    for number in range(most):
        assert at is not None
        got = listing.answer(page, at)
        told |= {row["id"] for row in got.records}
        at = after_page(page, at, got).next
        meanwhile(number)
        if at is None:
            return told
    raise AssertionError("it does not come to an end")


def offsets(size: int, first: int = 0) -> OffsetPages:
    return OffsetPages.model_validate({"kind": "offset", "size": size, "first": first})


def tokens(size: int) -> TokenPages:
    return TokenPages.model_validate(
        {"kind": "token", "size": size, "next": "$.next", "more": "$.more", "query": {"after": "{token}"}}
    )


def keyset(size: int) -> KeysetPages:
    return KeysetPages.model_validate({"kind": "keyset", "size": size, "by": ["sort"], "next": {"path": "/x"}})


def _got(answer: dict[str, Any]) -> Got:
    records = answer["data"]
    return Got(answer, records, [(row["id"],) for row in records])
