"""How the pages of one answer follow each other: where the first is, and where the next one is after each.

A place is a value that can be kept and gone on from. What may go wrong with pages is found here: a vendor whose pages
go round, and rows that moved from one page to another while they were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from fieldwarden.connectors.rest.description import (
    KeysetPages,
    LinkedPages,
    OffsetPages,
    OnePage,
    Page,
    Request,
    TokenPages,
)
from fieldwarden.connectors.rest.paths import ABSENT, Path, Place
from fieldwarden.connectors.rest.templates import Filled
from fieldwarden.engine.errors import DecodeError

Key = tuple[str, ...]
_BEHIND = 50
"""Of a page, the last keys: a place is kept with its rows, and is to be small."""


class PageAt(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a page is. `offset`, `token`, `link` or `after`: as its kind of pages has it.

    `behind` are keys of the page before, in its order, of pages by offset: one of them has to stand in this page too,
    or rows between have moved. `back` is how far it was gone back to find one."""

    offset: int = 0
    token: str = ""
    link: str = ""
    after: tuple[str, ...] = ()
    behind: tuple[Key, ...] = ()
    back: int = 0

    @property
    def first(self) -> bool:
        return not (self.token or self.link or self.after or self.behind)


@dataclass(frozen=True, slots=True)
class Got:
    """A page as it came: the whole answer, its records, and their keys ("" where one has none)."""

    answer: Any
    records: Sequence[Any]
    keys: Sequence[Key] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class After:
    """What comes after a page: `next`, None where it was the last. `moved`: rows may have been missed before this page,
    and `next` goes back to them."""

    next: PageAt | None
    moved: bool = False


LAST = After(None)


def first_page(page: Page) -> PageAt:
    return PageAt(offset=page.first) if isinstance(page, OffsetPages) else PageAt()


def after_page(page: Page, at: PageAt, got: Got) -> After:
    """What comes after the page at `at`. Raises DecodeError where the vendor's pages do not go on."""
    match page:
        case OnePage():
            return LAST
        case OffsetPages():
            return _after_offset(page, at, got)
        case KeysetPages():
            return _after_keyset(page, at, got)
        case TokenPages():
            more = _more(page.more, got, otherwise=True)
            token = _word(page.next, got.answer) if more else ""
            if page.more is not None and more and not token:
                raise DecodeError("there is more, and the next page is not named")
            return After(_onward(at, PageAt(token=token))) if token else LAST
        case LinkedPages():
            link = _word(page.next, got.answer) if page.next is not None else linked(got.headers.get("link", ""))
            return After(_onward(at, PageAt(link=link))) if link else LAST


def filled(page: Page, at: PageAt) -> dict[str, Filled]:
    """What the names mean that stand for the page."""
    values: dict[str, Filled] = {}
    if not isinstance(page, OnePage) and page.size is not None:
        values["size"] = page.size
    if isinstance(page, OffsetPages):
        values["offset"] = at.offset
    elif isinstance(page, TokenPages):
        values["token"] = at.token or page.first or ""
    elif isinstance(page, KeysetPages):
        values |= {f"after_{number}": value for number, value in enumerate(at.after, 1)}
    return values


def request_of(request: Request, page: Page, at: PageAt) -> Request:
    """The request by which the page at `at` is asked for, where it has no link."""
    if isinstance(page, KeysetPages) and at.after:
        return page.next
    if isinstance(page, TokenPages) and at.token and page.query:
        return request.model_copy(update={"query": request.query | page.query})
    return request


def linked(header: str) -> str:
    """The next page by a header Link.

    >>> linked('<https://shop/a?page=1>; rel="previous", <https://shop/a?page=3>; rel="next"')
    'https://shop/a?page=3'
    """
    links = httpx.Headers({"link": header})
    return str(httpx.Response(200, headers=links).links.get("next", {}).get("url", "")) if header else ""


def _after_offset(page: OffsetPages, at: PageAt, got: Got) -> After:
    """The next page begins with this one's last record. So long as the order of the rows is the same, all that stands
    before any record that was read has been read: a page that holds one of those goes on where they ended. One that
    holds none has lost rows in between, since rows before it are gone."""
    if at.behind and at.offset > page.first and not {*at.behind} & {*got.keys}:
        back = max(2 * at.back, page.size)
        return After(PageAt(offset=max(page.first, at.offset - back), behind=at.behind, back=back), moved=True)
    if not _more(page.more, got, otherwise=len(got.records) >= page.size):
        return LAST
    if len(got.records) < 2:
        raise DecodeError("there is more, and the page does not tell of it")
    behind = tuple(key for key in got.keys if all(key))[-_BEHIND:]
    return After(_onward(at, PageAt(offset=at.offset + len(got.records) - 1, behind=behind)))


def _after_keyset(page: KeysetPages, at: PageAt, got: Got) -> After:
    if len(got.records) < page.size:
        return LAST
    after = tuple(_value(place, got.records[-1]) for place in page.by)
    return After(_onward(at, PageAt(after=after)))


def _more(path: Path | None, got: Got, *, otherwise: bool) -> bool:
    return otherwise if path is None else path.first(got.answer) is True


def _onward(at: PageAt, then: PageAt) -> PageAt:
    if then == at:
        raise DecodeError("the next page is the same page again")
    return then


def _value(place: Place, record: Any) -> str:
    found = place.of(record)
    if found is None or found is ABSENT or isinstance(found, dict | list):
        raise DecodeError(f"a record has no {place.text}, by which the next page is asked for")
    return f"{found:f}" if hasattr(found, "adjusted") else str(found)


def _word(path: Path, answer: Any) -> str:
    found = path.first(answer)
    return "" if found is ABSENT or found is None or found is False else str(found)
