"""A batch that meets an unexpected error is committed all the same, but for the changes that are to blame.

Which they are is known where an error comes up while one change is decided; else smaller and smaller pieces are tried,
each in a transaction of its own. A change to blame is set aside, as bad data is. An error that comes again with nothing
left to put aside is raised: it is nobody's in particular.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence

from fieldwarden.engine import bugs
from fieldwarden.engine.deciding.known import Mapped

Commit = Callable[[Sequence[Mapped], bool], Awaitable[None]]
"""Commits some changes; the second argument says whether nothing of the batch comes after them."""
Told = Callable[[Exception], None]
_TOGETHER = 8
"""Changes of one batch that may be found to blame before it is taken to pieces, lest all be decided again for each."""


class Blamed(Exception):
    """Raised while one change (`item`) was decided. Its cause is the error that came up."""

    def __init__(self, item: Mapped) -> None:
        super().__init__("one change met an unexpected error")
        self.item = item


async def narrowed(commit: Commit, batch: Sequence[Mapped], told: Told, *, last: bool = True) -> None:
    """Commit `batch`, in order and perhaps in several transactions. Each change that is to blame for an unexpected
    error is set aside with it, and `told` hears the error. `last`: nothing comes after this batch.

    Raises the error where it is no single record's, or where it comes again with nothing left to set aside.

    >>> import asyncio
    >>> batch, stored = [mapped(said(ACCOUNT, n, phone=phone)) for n, phone in enumerate(["555", "?", "556"])], []
    >>> async def commit(part, last):
    ...     for item in part:
    ...         if item.change is not None and item.change.fields["phone"] == "?":
    ...             raise ValueError("nobody foresaw this")
    ...     stored.extend(part)
    >>> asyncio.run(narrowed(commit, batch, lambda error: print(type(error).__name__)))
    ValueError
    >>> [item.refused[:5] if item.change is None else item.change.fields["phone"] for item in stored]
    ['555', 'a bug', '556']
    """
    found = 0
    while True:
        try:
            await commit(batch, last)
        except Exception as error:
            culprit, cause = _blamed(batch, error)
            if not bugs.of_one_record(cause) or not batch:
                raise cause from cause.__cause__
            if culprit is None or (found >= _TOGETHER and len(batch) > 1):
                middle = len(batch) // 2
                await narrowed(commit, batch[:middle], told, last=False)
                batch, found = batch[middle:], 0
                continue
            if not _put_aside(culprit, cause):
                raise cause from cause.__cause__
            found += 1
            told(cause)
        else:
            return


def _blamed(batch: Sequence[Mapped], error: Exception) -> tuple[Mapped | None, Exception]:
    if isinstance(error, Blamed) and isinstance(error.__cause__, Exception):
        return error.item, error.__cause__
    return (batch[0] if len(batch) == 1 else None), error


def _put_aside(item: Mapped, error: Exception) -> bool:
    """Take it out of what is decided. If even that much of it cannot be kept, its key goes by a name; False: that was
    tried as well."""
    if item.change is not None or not item.refused:
        item.change, item.refused = None, bugs.reason(error, "this change")
        return True
    if item.release or item.row.key.startswith("key with SHA-256 "):
        return False
    digest = hashlib.sha256(item.row.key.encode(errors="backslashreplace")).hexdigest()
    item.row = item.row._replace(key=f"key with SHA-256 {digest}")
    return True
