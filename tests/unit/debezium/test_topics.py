"""Which topics are read: those of the mapped streams, and no others that only look like them."""

from __future__ import annotations

import re

from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.rules.rulebook import Stream, System
from tests.builders import debezium


def topics(*streams: Stream, **settings: str) -> Topics:
    return Topics(System("crm", 0, debezium(**settings), {each.name: each for each in streams}))


def stream(name: str, *, reads: bool = True, table: str = "") -> Stream:
    return Stream("crm", name, "customer", ("id",), {}, reads=reads, table=table)


def test_a_stream_is_in_a_topic_of_its_own() -> None:
    found = topics(stream("sales.account"), stream("contact"), prefix="acme")
    assert list(found.streams) == ["acme.sales.account", "acme.public.contact"]
    assert [each.name for each in found.streams["acme.public.contact"]] == ["contact"]
    assert found.heartbeat == "__debezium-heartbeat.acme"


def test_the_prefix_is_the_systems_name_unless_another_is_set() -> None:
    assert list(topics(stream("public.account")).streams) == ["crm.public.account"]


def test_streams_of_one_table_share_its_topic() -> None:
    found = topics(stream("phone", table="contact"), stream("email", table="public.contact"), stream("public.account"))
    assert list(found.streams) == ["crm.public.contact", "crm.public.account"]
    assert [each.name for each in found.streams["crm.public.contact"]] == ["phone", "email"]
    assert [found.table(topic) for topic in found.streams] == ["public.contact", "public.account"]


def test_a_mysql_table_without_its_database_is_taken_as_it_is() -> None:
    assert list(topics(stream("account"), database="mysql").streams) == ["crm.account"]


def test_what_is_only_written_to_is_not_read() -> None:
    assert list(topics(stream("public.account", reads=False), stream("public.order")).streams) == ["crm.public.order"]


def test_the_pattern_matches_these_topics_and_nothing_else() -> None:
    pattern = re.compile(topics(stream("public.account")).pattern)
    others = ["crm.public.accounts", "crm.public.account\n", "xcrm.public.account", "crmxpublic.account", "crm"]
    assert [each for each in others if pattern.match(each)] == []
    assert pattern.match("crm.public.account")
    assert pattern.match("__debezium-heartbeat.crm")
