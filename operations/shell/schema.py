"""`fieldwarden schema`: the JSON Schema of a kind of file, for the editor of whoever writes one."""

from __future__ import annotations

import json

from fieldwarden.operations.shell.report import Report


def schema(kind: str) -> Report:
    """The schema as JSON text, on stdout as it is; with `--json` it is the result."""
    from fieldwarden.rules.schema import json_schema

    document = json_schema(kind)
    return Report(document, json.dumps(document, indent=2, ensure_ascii=False))
