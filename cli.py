"""`fieldwarden`, the command line: its commands register themselves as their modules are imported."""

from __future__ import annotations

from fieldwarden.commands import hooks, project, proving, roles, rules, sandbox, sources, stewards
from fieldwarden.commands.program import cli, main

__all__ = ["cli", "hooks", "main", "project", "proving", "roles", "rules", "sandbox", "sources", "stewards"]

if __name__ == "__main__":
    main()
