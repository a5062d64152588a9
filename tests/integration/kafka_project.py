"""A project whose CRM is read by Debezium, on the tests' own stack, and `fieldwarden` in it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from click.testing import CliRunner, Result
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli import cli
from stack.connectors import delete

TABLES = """
create table account (id integer primary key, name text, credit numeric(14,2), fieldwarden_id text unique);
create table contact (id integer primary key, account_id integer, email text);
"""
SETTINGS = """\
project: shop
systems: [crm]
hub: {dsn: "${env:HUB_DSN}"}
kafka:
  servers: "${env:KAFKA}"
  connect: {url: "${env:CONNECT}"}
"""
CUSTOMER = """\
entity: customer
fields:
  name: {type: text}
  credit: {type: "decimal(14,2)"}
  email: {type: text}
"""
CRM = """\
system: crm
connector:
  kind: debezium
  dsn: "${env:CRM_DSN}"
  prefix: PREFIX
  name: PREFIX
  slot: PREFIX
  publication: PREFIX
  options: {slot.drop.on.stop: true}
streams:
  public.account:
    entity: customer
    key: id
    external_id: fieldwarden_id
    create: true
    fields: {name: name, credit: credit}
  public.contact:
    entity: customer
    parent: {public.account: account_id}
    key: id
    fields: {email: email}
"""


@dataclass
class KafkaShop:
    """`prefix` names topics, connector, slot and publication alike."""

    folder: Path
    prefix: str
    dsn: str
    connect_url: str
    environment: dict[str, str] = field(default_factory=dict)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def allow_connections(self, allowed: bool) -> None:
        """Close the database to everybody, and cut off those who are in it; or open it again."""
        name = str(conninfo_to_dict(self.dsn)["dbname"])
        with psycopg.connect(make_conninfo(self.dsn, dbname="postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("alter database {} allow_connections {}").format(sql.Identifier(name), allowed))
            if not allowed:
                admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])

    def invoke(self, *words: str) -> Result:
        return CliRunner(env=self.environment).invoke(cli, [*words, "--project", str(self.folder)])

    def call(self, *words: str) -> tuple[int, dict[str, Any]]:
        """A command with --json, in this process: exit code and the object on the last line."""
        result = self.invoke(*words, "--json")
        body: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return result.exit_code, body

    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.connect_url}/connectors/{self.prefix}/status", timeout=30).json()
        return answer


@contextlib.contextmanager
def kafka_shop(folder: Path, prefix: str, dsn: str, **environment: str) -> Iterator[KafkaShop]:
    """`environment` needs HUB_DSN, KAFKA and CONNECT. The connector goes with the test, and with it its slot."""
    files = {"fieldwarden.yaml": SETTINGS, "entities/customer.yaml": CUSTOMER, "systems/crm.yaml": CRM}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("PREFIX", prefix))
    shop = KafkaShop(folder, prefix, dsn, environment["CONNECT"], environment | {"CRM_DSN": dsn})
    shop.sql(TABLES)
    try:
        yield shop
    finally:
        shop.allow_connections(True)
        delete(shop.connect_url, prefix)


def eventually(question: Any, what: str, seconds: float = 60.0) -> Any:
    """Poll until the answer is true; the answer. The deadline is only there to end a failing test."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.1)
    return answer
