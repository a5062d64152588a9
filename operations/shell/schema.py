"""`fieldwarden schema`: the JSON Schema of a kind of file, for the editor of whoever writes one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fieldwarden.operations.shell.report import Report

if TYPE_CHECKING:
    from fieldwarden.rules.settings import Settings


def schema(kind: str) -> Report:
    """The schema as JSON text, on stdout as it is; with `--json` it is the result. A system's has all kinds of
    connector that are installed; one that cannot be used is left out, with a note."""
    from fieldwarden.operations.kinds.table import KINDS
    from fieldwarden.rules.kinds import KindUnusable
    from fieldwarden.rules.schema import json_schema, schema_of

    if kind == "vendor":
        from fieldwarden.connectors.rest.description import Vendor

        document = schema_of(Vendor, kind)
        return Report(document, json.dumps(document, indent=2, ensure_ascii=False))
    settings: list[type[Settings]] = []
    notes: list[str] = []
    for name in KINDS if kind == "system" else ():
        try:
            settings.append(KINDS[name].settings)
        except KindUnusable as error:
            notes.append(f"left out: {error.message}")
    document = json_schema(kind, settings)
    return Report(document, json.dumps(document, indent=2, ensure_ascii=False), notes=notes)
