"""Rows of COPY's text format are read as the server meant them, large ones too, wherever they are cut."""

from __future__ import annotations

import pytest

from fieldwarden.connectors.postgres.reading.copying import row_values
from fieldwarden.engine.record import LARGE
from tests.parts import first

ODD = "tab\t line\n return\r back\b feed\f up\v slash\\ null \\N é 漢 😀 "
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"})


def row(*values: str | None) -> bytes:
    """As the server sends it."""
    texts = ["\\N" if value is None else value.translate(_ESCAPES) for value in values]
    return "\t".join(texts).encode() + b"\n"


@pytest.mark.parametrize("values", [("a", "b"), ("",), ("", ""), (None,), (ODD, None, "\\N", "\\", "plain")])
def test_a_row_is_what_it_was(values: tuple[str | None, ...]) -> None:
    assert row_values(row(*values)) == list(values)
    assert row_values(memoryview(row(*values))) == list(values)


@pytest.mark.long
@pytest.mark.parametrize("text", ["x", ODD, "\\", "漢", "😀", "\t", "x\\"])
@pytest.mark.parametrize("before", first(1, ["", "1", "12", "123"]))
def test_a_large_row_too_wherever_it_is_cut(text: str, before: str) -> None:
    large = before + text * ((2 << 20) // len(text))
    assert len(large) > LARGE
    values = ["1", None, large, "\\N", ODD, "", large]
    assert row_values(memoryview(row(*values))) == values
