"""Values as Salesforce's REST API has them, in JSON: to the same texts as change events come to, and from canonical
values to what it takes. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from fieldwarden.connectors.salesforce.decoding.fields import Described, column
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import Value

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS: Final = frozenset({"numeric", "integer"})


def text(described: Described) -> Callable[[Any], str | None]:
    """From a value of a field to its text; None is null. What it gives raises Unreadable for what is no such value.

    >>> moment = text(Described("datetime"))
    >>> moment("2024-04-09T20:26:27.000+0000"), text(Described("currency", 2))(Decimal("1500.0"))
    ('2024-04-09 20:26:27+00', '1500')
    """
    found = column(described)
    written = found.text or str
    read = _READ.get(described.type)

    def of(value: Any) -> str | None:
        if value is None:
            return None
        try:
            if read is not None:
                return written(read(value))
            if found.type in _NUMBERS:
                return written(float(value) if found.type == "numeric" else value)
            if found.text is None and type(value) is not str:
                raise ValueError("no text")
            if type(value) is str and "\0" in value:
                raise ValueError("a NUL character")
            return written(value)
        except (ValueError, TypeError, OverflowError):
            raise Unreadable("a field does not hold what Salesforce describes it as") from None

    return of


def millis(value: str) -> int:
    """Milliseconds since 1970 of a moment. Raises ValueError.

    >>> millis("2024-04-09T20:26:27.000+0000")
    1712694387000
    """
    return (datetime.fromisoformat(value.replace("+0000", "+00:00")) - _EPOCH) // (_ONE)


_ONE: Final = datetime(1970, 1, 1, 0, 0, 0, 1000) - datetime(1970, 1, 1)
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "datetime": millis,
    "date": lambda value: millis(f"{value}T00:00:00+00:00"),
    "time": lambda value: millis(f"1970-01-01T{value}".replace("Z", "+00:00")),
}


def written(described: Described, value: Value) -> Any:
    """A canonical value as a request has it: numbers exact, moments with their zone.

    >>> written(Described("currency", 2), "1234.50"), written(Described("boolean"), "true")
    (Decimal('1234.50'), True)
    """
    if value is None:
        return None
    kind = column(described).type
    if kind in _NUMBERS:
        return Decimal(value)
    return value == "true" if kind == "boolean" else value
