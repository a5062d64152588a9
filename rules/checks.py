"""What must hold between the files of a project: every name means something, and every rule can be kept.

Errors stop everything; warnings name what is allowed but idle (a field that nobody maps, a system listed for a
field that it does not have). What only the live system knows, such as whether a column exists, its connector checks.
"""

from __future__ import annotations

from rules.debezium_checks import check_debezium
from rules.entity_checks import EntityCheck
from rules.files import Files
from rules.findings import Findings
from rules.stream_checks import SystemCheck

__all__ = ["Findings", "check"]


def check(files: Files) -> Findings:
    """Every problem between the files, with its place."""
    findings = Findings()
    for name in files.entities:
        EntityCheck(files, name, findings).run()
    for name in files.systems:
        SystemCheck(files, name, findings).run()
    check_debezium(files, findings)
    return findings
