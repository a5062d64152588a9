"""Which topics of a Debezium connector are read, and what each of them holds.

Names: Debezium 3, https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-topic-names
and ...#postgresql-property-topic-heartbeat-prefix.
"""

from __future__ import annotations

import re

from rules.rulebook import Stream, System


class Topics:
    """`streams` is by topic; only of those that are read. Topics need not exist: a table without rows has none."""

    def __init__(self, system: System) -> None:
        self.prefix = system.settings.get("prefix") or system.name
        self.streams: dict[str, Stream] = {
            self.of_stream(system, name): stream for name, stream in system.read_streams.items()
        }
        self.heartbeat = f"__debezium-heartbeat.{self.prefix}"
        self.notifications = f"{self.prefix}.fieldwarden-notifications"

    def of_stream(self, system: System, stream: str) -> str:
        """PostgreSQL's `<prefix>.<schema>.<table>`, MySQL's `<prefix>.<database>.<table>`."""
        bare = "." not in stream and system.settings.get("database", "postgres") == "postgres"
        return f"{self.prefix}.{'public.' if bare else ''}{stream}"

    @property
    def all(self) -> list[str]:
        return [*self.streams, self.heartbeat, self.notifications]

    @property
    def pattern(self) -> str:
        """A regular expression that matches these topics and no others, anchored by itself at both ends."""
        return "^(?:" + "|".join(re.escape(topic) for topic in self.all) + r")\Z"
