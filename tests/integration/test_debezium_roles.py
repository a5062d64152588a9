"""Debezium itself under the role that `target roles` prints for it, and Fieldwarden beside it under the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from psycopg.conninfo import make_conninfo

from tests.integration.cli_project import execute
from tests.integration.hub_roles import drop
from tests.integration.kafka_project import KafkaShop
from tests.integration.test_system_roles import NOTHING_FOR_PUBLIC


@pytest.fixture
def shop(kafka_shop: KafkaShop, make_database: Callable[..., str]) -> Iterator[KafkaShop]:
    """Its database is entered by the printed roles alone, each with a password; nothing is registered yet."""
    source, target = f"{kafka_shop.prefix}_source", f"{kafka_shop.prefix}_target"
    kafka_shop.environment |= {"HUB_DSN": make_database(), "CRM_SOURCE_DSN": kafka_shop.dsn}
    kafka_shop.edit("systems/crm.yaml", "  prefix:", '  connect_dsn: "${env:CRM_SOURCE_DSN}"\n  prefix:')
    kafka_shop.edit("systems/crm.yaml", "{max.batch.size: 1024}", "{publication.autocreate.mode: disabled}")
    code, body = kafka_shop.call("target", "roles", "crm", "--print", "--source", source, "--target", target)
    assert code == 0, body
    execute(kafka_shop.dsn, NOTHING_FOR_PUBLIC)
    execute(kafka_shop.dsn, body["result"]["sql"])
    execute(kafka_shop.dsn, f"alter role {source} password 'one'; alter role {target} password 'two'")
    kafka_shop.environment |= {
        "CRM_SOURCE_DSN": make_conninfo(kafka_shop.dsn, user=source, password="one"),
        "CRM_DSN": make_conninfo(kafka_shop.dsn, user=target, password="two"),
    }
    yield kafka_shop
    kafka_shop.call("connector", "delete", "crm", "--yes")
    drop(kafka_shop.dsn, source, target)


def test_debezium_and_fieldwarden_each_do_with_what_is_printed(shop: KafkaShop) -> None:
    shop.sql("insert into account (name, credit) values ('Alder', 5), ('Birch', 6)")
    shop.sql("insert into contact values (1, 1, 'a@alder.example')")
    code, body = shop.call("connector", "register")
    assert code == 0, body
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert code == 0, body
    shop.sql("update account set credit = 7 where name = 'Alder'; delete from account where name = 'Birch'")
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert (code, body["result"]["changes"]) == (0, 2), body
    for words in (["doctor"], ["connector", "status"], ["check"], ["status"]):
        code, body = shop.call(*words)
        assert code == 0, (words, body)
