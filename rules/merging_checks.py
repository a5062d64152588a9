"""The checks of `merged_into`: which row a row is by now, where a system merges rows."""

from __future__ import annotations

from fieldwarden.rules.findings import Page
from fieldwarden.rules.models import StreamModel


def check_merging(page: Page, name: str, stream: StreamModel, *, reading: bool) -> None:
    """`reading`: whether the stream's rows are read at all."""
    path, columns = ("streams", name, "merged_into"), stream.merged_into
    if columns is None:
        return
    if stream.parent is not None:
        message = "merged_into is for rows that stand for records; child rows follow the row above them"
        page.error_at_key(path, message, "name it in the stream that is this one's parent")
    elif len(columns) != len(stream.key):
        message = f"the key of {name} has {len(stream.key)} column(s), but {len(columns)} hold it in merged_into"
        page.error(path, message, f"its key is {', '.join(stream.key)}")
    elif set(columns) == set(stream.key):
        page.error(path, "merged_into names the row's own key", "name the column that holds the other row's key")
    elif not reading:
        page.error_at_key(path, "merged_into is never read: mode is target", "remove merged_into")
