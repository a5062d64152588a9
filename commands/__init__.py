"""The commands, a module per kind: one command, one operation.

Commands import their operation when they run, so that `--help`, completion and the light commands start at once.
How a command ends is the same everywhere: 0 ok, 1 run-time failure, 2 usage or invalid configuration, 3 environment
(something cannot be reached), 130/143 on SIGINT/SIGTERM. With `--json` the last line on stdout is one object.
"""
