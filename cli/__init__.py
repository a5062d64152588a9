"""The command line, and the only place where the parts are put together: one command, one operation.

Commands import their operation when they run, so that `--help`, completion and the light commands start at once.
How a command ends is the same everywhere: 0 ok, 1 run-time failure, 2 usage or invalid configuration, 3 environment
(something cannot be reached), 130/143 on SIGINT/SIGTERM. With `--json` the last line on stdout is one object.
"""

from cli import project, proving, sources
from cli.program import cli, main

__all__ = ["cli", "main", "project", "proving", "sources"]
