"""Which topics of a Debezium connector are read, and what each of them holds.

Names: Debezium 3, https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-topic-names
and ...#postgresql-property-topic-heartbeat-prefix.
"""

from __future__ import annotations

import re

from fieldwarden.rules.connections import debezium_names, debezium_settings
from fieldwarden.rules.rulebook import Stream, System


class Topics:
    """`streams` are those that read a topic, by topic. Topics need not exist: a table without rows has none."""

    def __init__(self, system: System) -> None:
        self.prefix = debezium_names(system).prefix
        self._bare_is_public = debezium_settings(system).is_postgres
        self.streams: dict[str, list[Stream]] = {}
        for stream in system.read_streams.values():
            self.streams.setdefault(self.of_table(stream.table), []).append(stream)
        self.heartbeat = f"__debezium-heartbeat.{self.prefix}"
        self.notifications = f"{self.prefix}.fieldwarden-notifications"

    def of_table(self, table: str) -> str:
        """PostgreSQL's `<prefix>.<schema>.<table>`, MySQL's `<prefix>.<database>.<table>`."""
        bare = "." not in table and self._bare_is_public
        return f"{self.prefix}.{'public.' if bare else ''}{table}"

    def table(self, topic: str) -> str:
        """The inverse: the table that a topic is of, as Debezium calls it."""
        return topic.removeprefix(f"{self.prefix}.")

    @property
    def all(self) -> list[str]:
        return [*self.streams, self.heartbeat, self.notifications]

    @property
    def pattern(self) -> str:
        """A regular expression that matches these topics and no others, anchored by itself at both ends."""
        return "^(?:" + "|".join(re.escape(topic) for topic in self.all) + r")\Z"
