"""I8: whatever goes wrong, nothing that the product writes holds a secret or a personal value.

One landscape whose every value is planted, every fault that quotes one, every command that lists something. All that
was written is searched: what commands say, with --json and --debug, logs, metrics, checks, bug files, processes, and
the hub's own words. The embedded server's log and the modes of files have tests of their own (`test_private_files`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from click.testing import Result
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.operations.shell import validate
from fieldwarden.rules import scrubbing
from tests.faults.leaks import leaks, processes
from tests.integration.cli_project import Run, Shop, make_shop
from tests.patience import eventually

PASSWORD = "Qv7xK@Kz9wM/Jy3pN:Xq5tP%Zw8rR?Vb2nS#Gh6kT"
PERSONS = {
    "wiltrud": "ATU77700001",  # sound
    "odalinde": "ATU77700002",  # says an amount that is none
    "mechthild": "ATU77700003",  # refused by a trigger, which quotes her
    "kunigunde": "ATU77700004",  # too long for the ERP
    "ermintrude": "ATU77700005",  # her e-mail is another's in the ERP
    "gerlinde": "ATU77700006",  # meets a bug
    "adelgunde": "ATU77700007",  # fits two records
    "frederun": "ATU77700008",  # stops a trigger at an error of the server's, which quotes her
}
AMOUNT = "Zorblatt-9000"
STOPPED = "42501"

ENTITY = """\
entity: customer
identity: {match: [tax_id, email]}
delete: {authority: [crm]}
defaults: {strategy: source_priority, order: [crm, erp]}
fields:
  name:         {type: text, class: personal}
  tax_id:       {type: text, class: personal}
  email:        {type: text, class: personal}
  credit_limit: {type: "decimal(14,2)"}
"""
SYSTEM = """\
system: {name}
connector: {{kind: postgres, dsn: "${{env:{variable}}}"}}
streams:
  public.{table}:
    entity: customer
    key: email
    external_id: fieldwarden_id
    create: true
    fields: {{name: name, tax_id: vat, email: email, credit_limit: credit}}
"""
TABLE = """
drop table if exists account, party;
create table {table} (email text primary key, name {name}, vat text, credit {credit}, fieldwarden_id text unique)
"""
TRIGGER = """
create function check_it() returns trigger language plpgsql as $$ begin
    if new.email like 'mechthild%' then raise exception '% <%> is on no list', new.name, new.email; end if;
    if new.email like 'frederun%' then perform new.name::integer; end if;
    return new;
end $$;
create trigger check_it before insert or update on party for each row execute function check_it()
"""
STOPPING = """
create or replace function check_it() returns trigger language plpgsql as $$ begin
    raise exception '% <%> may not be written', new.name, new.email using errcode = '42501';
end $$
"""


def email(name: str) -> str:
    return f"{name}@planted.example"


def full_name(name: str) -> str:
    return f"{name.title()} Plantedsohn-{name[::-1].title()}"


def personal() -> list[str]:
    return [AMOUNT, *map(email, PERSONS), *map(full_name, PERSONS), *PERSONS.values()]


def secrets() -> list[str]:
    """The password, and each part of it that a raw character may cut off."""
    parts = PASSWORD.translate(str.maketrans("@/:%?#", " " * 6)).split()
    return [PASSWORD, *parts]


class Planted(Shop):
    """The landscape, reached over TCP by a role with the planted password; what was written so far."""

    def __init__(self, shop: Shop, ways: dict[str, str]) -> None:
        super().__init__(shop.folder, shop.hub, shop.crm, shop.erp, environment=ways)
        self.written: dict[str, str] = {}

    def invoke(self, *words: str) -> Result:
        """As in a process of its own, which has had no secret in hand yet."""
        scrubbing._known.clear()
        return super().invoke(*words)

    def ask(self, *words: str, once: bool = False) -> dict[str, Any]:
        """A command in this process, for people and for machines (`once`: for machines); what it answers."""
        for more in (["--json"],) if once else ([], ["--debug"], ["--json"]):
            result = self.invoke(*words, *more)
            self.written[" ".join([*words, *more])] = result.stdout + result.stderr
        assert result.stdout, result.stderr
        body: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return body

    def keep(self, run: Run, *paths: str) -> None:
        self.written |= {f"{run.log.name} {path}": run.get(path)[1] for path in paths}


@pytest.fixture
def planted(
    tmp_path: Path, make_database: Callable[..., str], postgres: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> Planted:
    shop = make_shop(tmp_path / "shop", make_database(), make_database(), make_database())
    (shop.folder / "entities/customer.yaml").write_text(ENTITY)
    for name, table, typed, amount in (("crm", "account", "text", "text"), ("erp", "party", "varchar(40)", "numeric")):
        file = SYSTEM.format(name=name, table=table, variable=f"{name.upper()}_DSN")
        (shop.folder / f"systems/{name}.yaml").write_text(file)
        shop.sql(name, TABLE.format(table=table, name=typed, credit=amount))
    role = "planted"  # it stays for the run, as what it owns does
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        if admin.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone() is None:
            admin.execute(sql.SQL("create role {} superuser login password {}").format(sql.Identifier(role), PASSWORD))
    ways = {
        f"{name.upper()}_DSN": f"postgresql://{role}:{quote(PASSWORD, safe='')}@127.0.0.1:{postgres.port}/"
        f"{conninfo_to_dict(dsn)['dbname']}"
        for name, dsn in (("hub", shop.hub), ("crm", shop.crm), ("erp", shop.erp))
    }
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Planted(shop, ways)


def add(planted: Planted, name: str, *, amount: str = "10", called: str = "", vat: str | None = None) -> None:
    values = [email(name), called or full_name(name), PERSONS[name] if vat is None else vat, amount]
    with psycopg.connect(planted.crm, autocommit=True) as crm:
        crm.execute("insert into account (email, name, vat, credit) values (%s, %s, %s, %s)", values)


def let_everything_go_wrong(planted: Planted) -> None:
    add(planted, "wiltrud")
    add(planted, "ermintrude")
    planted.settle()
    planted.sql("erp", TRIGGER)
    add(planted, "odalinde", amount=AMOUNT)
    add(planted, "mechthild")
    add(planted, "frederun")
    add(planted, "kunigunde", called=full_name("kunigunde") * 3)
    add(planted, "gerlinde")
    # The ERP gives one record's e-mail to a row of its own, so that no record's row can be written so any more.
    planted.sql("erp", f"update party set vat = '{PERSONS['adelgunde']}' where email = '{email('ermintrude')}'")
    add(planted, "adelgunde", vat=PERSONS["wiltrud"])
    planted.sql("crm", f"update account set vat = '{PERSONS['ermintrude']}' where email = '{email('wiltrud')}'")


def run_through_it(planted: Planted) -> None:
    planted.environment["FIELDWARDEN_FAILPOINT"] = f"ingest.deciding:{email('gerlinde')}:bug"
    with planted.running("--log-format", "json", "--log-level", "debug") as run:
        run.await_event("run.started")
        bug = f"select 1 from fieldwarden.set_aside where key = '{email('gerlinde')}'"
        parked = "select 1 from fieldwarden.dirty where status = 'parked'"
        told = "select kind, reason from fieldwarden.set_aside union all select status, reason from fieldwarden.dirty"
        eventually(
            lambda: planted.sql("hub", bug) and planted.sql("hub", parked), "letters", lambda: planted.sql("hub", told)
        )
        planted.sql("erp", STOPPING)  # the target's trouble, not a row's, as its state says
        planted.sql("crm", f"update account set name = '{full_name('wiltrud')} II' where email = '{email('wiltrud')}'")
        eventually(lambda: STOPPED in run.get("/readyz")[1] + run.log.read_text(), "the target fails")
        planted.keep(run, "/metrics", "/readyz", "/livez")
        planted.written |= processes(run.process.pid)
        planted.ask("status")
        code, _ = run.end()
        assert code == 143
        planted.written["run"] = run.log.read_text()
    del planted.environment["FIELDWARDEN_FAILPOINT"]


def test_no_secret_and_no_personal_value_is_in_what_a_run_writes(planted: Planted) -> None:
    let_everything_go_wrong(planted)
    run_through_it(planted)
    assert leaks(planted.written, [*secrets(), *personal()]) == []
    assert leaks(hub_words(planted), [*secrets(), *personal()]) == []
    assert leaks(hub_tables(planted), secrets()) == []
    assert {each for each in PERSONS if not leaks(hub_tables(planted), [email(each)])} == set(), "all were met"


@pytest.mark.long
def test_no_secret_and_no_personal_value_is_in_anything_that_is_written(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_everything_go_wrong(planted)
    run_through_it(planted)
    listed = ask_everything(planted)
    kinds = {each["kind"] for each in listed}
    assert {"unreadable", "ambiguous", "data", "delivery"} <= kinds, "every fault has been met"
    take_what_was_listed(planted, listed)
    ask_amiss(planted, monkeypatch)
    assert leaks(planted.written, [*secrets(), *personal()]) == []
    assert leaks(hub_words(planted), [*secrets(), *personal()]) == []
    assert leaks(hub_tables(planted), secrets()) == []
    seen = {"what is shown to who asks for it": planted.invoke("deadletter", "list", "--unmask").stdout}
    assert leaks(seen, [email("odalinde")]), "the search finds what there is"
    assert {each for each in PERSONS if not leaks(hub_tables(planted), [email(each)])} == set()


def ask_everything(planted: Planted) -> list[dict[str, Any]]:
    """Every command that lists something, and those that take what it lists."""
    for words in (
        ["status"], ["status", "--check"], ["match", "list"], ["check", "--list"], ["plan"], ["doctor"], ["onboard"],
        ["deletes", "list"], ["audit", "verify"], ["audit", "export"], ["audit", "export", "--format", "csv"],
        ["validate"], ["schema", "system"], ["deadletter", "list", "--kind", "waiting"],
    ):  # fmt: skip
        for more in ([], ["--debug"], ["--json"]):
            result = planted.invoke(*words, *more)
            planted.written[" ".join([*words, *more])] = result.stdout + result.stderr
    listed = planted.ask("deadletter", "list")["result"]["dead_letters"]
    for letter in listed:
        planted.ask("deadletter", "show", letter["id"])
        if letter["key"]:
            assert letter["key"].startswith("•••")
            planted.invoke("trail", "customer", letter["key"])
    for (record,) in planted.sql("hub", "select id::text from fieldwarden.record order by id"):
        planted.ask("trail", "customer", record)
        for field in ("email", "credit_limit"):
            planted.ask("explain", f"customer.{field}", record)
    return list(listed)


def take_what_was_listed(planted: Planted, listed: list[dict[str, Any]]) -> None:
    """What a row is called instead of its key, commands take for its key."""
    ((record,),) = planted.sql(
        "hub", f"select distinct record::text from fieldwarden.crosswalk where key = '{email('odalinde')}'"
    )
    story = planted.ask("trail", "customer", record)["result"]
    (called,) = {each["key"] for each in story["rows"] if each["system"] == "crm"}
    assert called.startswith("•••")
    for way in (called, f"crm:{called}", f"crm:public.account:{called}"):
        assert planted.ask("trail", "customer", way)["result"]["record"] == record
    letter = next(each for each in listed if each["kind"] == "ambiguous")
    words = ("record", "link", letter["system"], letter["stream"], letter["key"], letter["candidates"][0])
    answer = planted.ask(*words, "--reason", "it is hers", once=True)
    assert answer["ok"] or "has a row of its own in record" in answer["error"]["message"], answer
    unknown = planted.ask("record", "link", *words[2:4], "•••0000000000", record, "--reason", "x", once=True)
    assert not unknown["ok"]


def ask_amiss(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Malformed and wrong connection strings in every place, files that are wrong, a bug that quotes a value."""
    sound = dict(planted.environment)
    for variable in ("HUB_DSN", "CRM_DSN"):
        way = sound[variable]
        user, host = way.split("//")[1].split(":")[0], way.rpartition("@")[2]
        for number, dsn in enumerate(
            (
                f"postgresql://{user}:{PASSWORD}@{host}",
                f"postgresql://{user}:{quote(PASSWORD, safe='')}/{host.partition('/')[2]}",
                f"host=127.0.0.1 user={user} password={PASSWORD} {PASSWORD}",
                f"host=127.0.0.1 user={user} password='{PASSWORD}",
                f"postgresql://{user}:{quote(PASSWORD + 'x', safe='')}@{host}",
                f"postgresql://{user}@127.0.0.1:1/d?password={quote(PASSWORD, safe='')}&connect_timeout=2",
                f"postgresql://{user}@{host}?password={quote(PASSWORD, safe='')}&nonsense={PASSWORD}",
            )
        ):
            planted.environment = {**sound, variable: dsn}
            for words in (["status"], ["doctor"], ["check"]) if number < 6 else (["status"], ["doctor"]):
                result = planted.invoke(*words, "--debug")
                planted.written[f"{variable} {number} {words}"] = result.stdout + result.stderr
                if variable == "HUB_DSN":
                    assert result.exit_code in (1, 3), result.stdout + result.stderr
                    assert "Traceback" not in result.stderr, "it is no bug"
    planted.environment = sound
    for number, line in enumerate(
        (
            f"dsn: 'postgresql://u:{PASSWORD}@h/d'",
            f"dsn: ['{PASSWORD}']",
            f"dsn: 'password={PASSWORD}'",
            f"dsn: '${{{PASSWORD}}}'",
            f"dsn: '{PASSWORD}",
            f"sslpassword: '{PASSWORD}'",
        )
    ):
        file = planted.folder / "systems/crm.yaml"
        text = file.read_text()
        file.write_text(text.replace('dsn: "${env:CRM_DSN}"', line))
        result = planted.invoke("validate", "--debug")
        assert result.exit_code != 0
        planted.written[f"wrong file {number}"] = result.stdout + result.stderr
        file.write_text(text)
    meet_a_bug(planted, monkeypatch)


def meet_a_bug(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    value = f"{email('wiltrud')} {PASSWORD}"

    def broken(_folder: object) -> None:
        with psycopg.connect(planted.crm) as crm:
            try:
                crm.execute("select %s::text::integer", [value])
            except psycopg.Error as error:
                raise LookupError(value) from error

    with monkeypatch.context() as patch:
        patch.setattr(validate, "validate", broken)
        body = planted.ask("validate")
        planted.written["the bug's file"] = Path(body["error"]["path"]).read_text()
    assert "SQLSTATE 22P02" in planted.written["the bug's file"]
    assert "in broken" in planted.written["the bug's file"]


def hub_tables(planted: Planted) -> dict[str, str]:
    """All that the hub holds, by table."""
    names = planted.sql("hub", "select table_name from information_schema.tables where table_schema = 'fieldwarden'")
    return {
        f"the hub's {name}": "\n".join(str(row) for row in planted.sql("hub", f"select * from fieldwarden.{name}"))
        for (name,) in names
    }


def hub_words(planted: Planted) -> dict[str, str]:
    """What the hub holds that is no row's value: reasons, messages, rules, duties. A delivery's result does: a target's
    own words are kept with the letter, for `deadletter show --values`."""
    whole = {"worker", "duty", "rulebook", "live_rulebook", "source", "partition", "followed"}
    told = {"reason", "message"}
    everything = planted.sql(
        "hub", "select table_name, column_name from information_schema.columns where table_schema = 'fieldwarden'"
    )
    columns = [(table, column) for table, column in everything if table in whole or column in told]
    assert whole <= {table for table, _ in columns}
    assert told <= {column for _, column in columns}
    return {
        f"the hub's {table}.{column}": "\n".join(
            str(row) for row in planted.sql("hub", f'select "{column}" from fieldwarden."{table}"')
        )
        for table, column in columns
    }


def test_a_server_that_we_start_is_given_nothing_of_our_environment_that_may_be_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ERP_DSN", f"postgresql://u:{PASSWORD}@h/d")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    folder = Path(tempfile.mkdtemp(prefix="fieldwarden-planted-"))  # its user cannot reach pytest's own
    server = EmbeddedServer(folder, settings={"fsync": "off"})
    try:
        with server.use():
            pid = int((server.data / "postmaster.pid").read_text().split()[0])
            of_its_own = Path(f"/proc/{pid}/environ").read_bytes().decode()
            assert "PATH=" in of_its_own, "there is something to search"
            assert leaks({"postmaster": of_its_own}, secrets()) == []
            started = processes(pid)
            assert any(each.startswith("environment of") for each in started)
            assert leaks(started, secrets()) == []
            assert leaks({"ours": str(dict(os.environ))}, secrets()), "which it would have been given"
    finally:
        shutil.rmtree(folder)
