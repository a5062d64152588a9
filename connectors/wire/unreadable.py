"""What every decoder of foreign bytes says of those that it cannot read, and how deep it follows what is nested."""

from __future__ import annotations

MOST_DEEP = 64
"""A schema in a schema in a schema ...: Debezium's envelope of a row with an array of structs has five."""


class Unreadable(Exception):
    """These bytes cannot be read; the message says why, without a value in it."""
