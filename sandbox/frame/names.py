"""Names of companies and people for records that nobody told: number 3 is always the same."""

from __future__ import annotations

_FIRST = ("Alder", "Brücke", "Cobalt", "Dünen", "Ember", "Fjord", "Gable", "Harbor", "Iris", "Juniper", "Krøyer")
_SECOND = ("Analytics", "Bakery", "Chemicals", "Dental", "Energy", "Foods", "Glass", "Hosting", "Imports")
_FORM = ("GmbH", "Ltd", "Inc", "S.A.", "AB")
_TOWNS = (("Berlin", "10115", "DE"), ("Malmö", "211 20", "SE"), ("Leeds", "LS1 4AP", "GB"), ("Lyon", "69002", "FR"))


def company(number: int) -> str:
    first, second, form = _FIRST[number % len(_FIRST)], _SECOND[number % len(_SECOND)], _FORM[number % len(_FORM)]
    return f"{first} {second} {form}" + (f" {number}" if number >= len(_FIRST) * len(_SECOND) else "")


def mail(number: int) -> str:
    return f"accounts{number}@example.com"


def town(number: int) -> tuple[str, str, str]:
    """City, postal code, country."""
    return _TOWNS[number % len(_TOWNS)]
