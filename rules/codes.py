"""Code lists: the CSV that says how each system spells the same payment term, tax code or currency.

The header's first column is `canonical`, the others are systems' names; a system without a column uses the
canonical code. Several of a system's codes may mean one canonical code: write them with `|`, first the one to
write back (`N30|NET30`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeList:
    """One list as one system spells it: `inward` system code -> canonical, `outward` canonical -> system code.

    Empty maps mean that the system uses the canonical codes themselves (`codes` holds them all).
    """

    name: str
    system: str
    codes: frozenset[str]
    inward: Mapping[str, str]
    outward: Mapping[str, str]
