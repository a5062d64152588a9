"""A Kafka that asks for passwords and certificates: all clients of ours get in, or say why not, and no secret out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from stack import Stack
from stack.security import PASSWORD, USER
from tests.integration.kafka_project import KafkaShop, kafka_shop
from tests.patience import eventually

WRONG = "hunter2-is-wrong"
LATE = "hunter3-comes-late"


@pytest.fixture(scope="module")
def secured(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("secured") / "stack.json", secure=True)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def shop(
    tmp_path: Path, secured: Stack, prefix: str, make_database: Callable[..., str], over_tcp: Callable[[str], str]
) -> Iterator[KafkaShop]:
    dsn, hub = over_tcp(make_database()), make_database()
    environment = {"HUB_DSN": hub, "KAFKA": secured.bootstrap, "CONNECT": secured.connect_url}
    with kafka_shop(tmp_path, prefix, dsn, **environment) as it:
        yield it


def say(shop: KafkaShop, address: str, **settings: str) -> None:
    """Where Kafka is, and how the files say it is reached. Passwords go through the environment, as they should."""
    shop.environment |= {"KAFKA": address, "KAFKA_PASSWORD": settings.pop("password", PASSWORD)}
    if settings["security"].startswith("sasl"):
        settings = {"mechanism": "PLAIN", "username": USER, "password": '"${env:KAFKA_PASSWORD}"'} | settings
    lines = "".join(f"  {name}: {value}\n" for name, value in settings.items())
    shop.edit("fieldwarden.yaml", "  connect:", f"{lines}  connect:")


def by_certificate(stack: Stack) -> dict[str, str]:
    keys = stack.broker.keys
    files = {"ca_file": keys.broker, "cert_file": keys.client, "key_file": keys.client_key}
    return {"security": "ssl", **{name: str(path) for name, path in files.items()}}


def by_password(stack: Stack) -> dict[str, str]:
    return {"security": "sasl_ssl", "ca_file": str(stack.broker.keys.broker)}


READ = (("run", "--until-idle", "--port", "0"), ("status",))


@pytest.mark.parametrize(("how", "read"), [(by_certificate, READ), (by_password, ())], ids=["certificate", "password"])
def test_every_client_gets_in(
    shop: KafkaShop, secured: Stack, how: Callable[[Stack], dict[str, str]], read: tuple[tuple[str, ...], ...]
) -> None:
    """The connector's consumer of signals among them, to which our own credentials are passed."""
    settings = how(secured)
    say(shop, secured.broker.secured[settings["security"]], **settings)
    shop.sql("insert into account values (1, 'Acme', 10)")
    key = secured.broker.keys.client_key.read_text().splitlines()[1]
    database = str(conninfo_to_dict(shop.dsn)["password"])
    shown = {}
    for words in (
        ("connector", "register", "--dry-run"),
        ("connector", "register"),
        *read,
        ("backfill", "start", "--system", "crm", "--entity", "customer"),
        ("backfill", "status", "--system", "crm"),
        ("connector", "show", "crm"),
        ("doctor",),
    ):
        result = shop.invoke(*words, "--json")
        assert result.exit_code == 0, (words, result.output)
        shown[words[:2]] = result.output
    assert "completed" in shown["backfill", "status"]
    assert '"signal.consumer.security.protocol"' in shown["connector", "show"]
    log = secured.connect.log.read_text()
    for secret in (PASSWORD, database, key):
        assert not any(secret in output for output in shown.values())
        assert secret not in log


REFUSALS = [
    ("sasl_plaintext", {"security": "sasl_plaintext", "password": WRONG}, "refuses the credentials", "password"),
    ("sasl_plaintext", {"security": "sasl_plaintext", "username": "nobody"}, "refuses the credentials", "username"),
    ("sasl_ssl", {"mechanism": "SCRAM-SHA-512"}, "does not offer SCRAM-SHA-512", "kafka: mechanism"),
    ("plaintext", {"security": "sasl_plaintext"}, "wants no user name and password", "is kafka: security"),
    ("sasl_plaintext", {"security": "plaintext"}, "breaks the connection", "is kafka: security"),
    ("sasl_ssl", {"security": "plaintext"}, "breaks the connection", "is kafka: security"),
    ("sasl_ssl", {"ca_file": "stranger"}, "signed by nobody we trust", "ca_file"),
    ("sasl_ssl", {"host": "localhost"}, "its certificate is another host's", "kafka: servers"),
    ("ssl", {"security": "ssl"}, "breaks the connection", "a certificate of ours: cert_file"),
]


@pytest.mark.parametrize(("listener", "settings", "message", "suggestion"), REFUSALS, ids=lambda each: str(each)[:40])
def test_doctor_says_why_it_is_turned_away(
    shop: KafkaShop, secured: Stack, listener: str, settings: dict[str, str], message: str, suggestion: str
) -> None:
    settings = dict(settings)
    address = {"plaintext": secured.bootstrap, **secured.broker.secured}[listener]
    address = address.replace("127.0.0.1", settings.pop("host", "127.0.0.1"))
    settings.setdefault("security", "sasl_ssl")
    if settings["security"].endswith("ssl"):
        ca = settings.get("ca_file", "broker")
        settings["ca_file"] = str(secured.broker.keys.broker.with_stem(ca))
    say(shop, address, **settings)
    result = shop.invoke("doctor", "--json")
    assert result.exit_code == 3
    checks = json.loads(result.stdout.splitlines()[-1])["result"]["checks"]
    (found,) = [check for check in checks if check["subject"] == "kafka"]
    assert (found["about"], found["level"]) == ("crm", "error")
    assert f"Kafka at {address}" in found["message"]
    assert message in found["message"]
    assert suggestion in found["suggestion"]
    assert not any(secret in result.output for secret in (PASSWORD, WRONG))


def test_doctor_warns_of_a_password_in_the_clear(shop: KafkaShop, secured: Stack) -> None:
    say(shop, secured.broker.secured["sasl_plaintext"], security="sasl_plaintext")
    checks = shop.call("doctor")[1]["result"]["checks"]
    found = [check for check in checks if check["subject"] == "kafka"]
    assert [check["level"] for check in found] == ["ok", "warning"]
    assert "sasl_ssl" in found[1]["suggestion"]


def test_other_commands_say_it_too(shop: KafkaShop, secured: Stack) -> None:
    say(shop, secured.broker.secured["sasl_ssl"], **by_password(secured), password=WRONG)
    for words in (("connector", "register"), ("backfill", "status", "--system", "crm")):
        result = shop.invoke(*words)
        assert result.exit_code == 3
        assert "refuses the credentials" in result.stderr
        assert WRONG not in result.output


def test_run_says_so_and_goes_on_trying(shop: KafkaShop, secured: Stack) -> None:
    """Until somebody makes the user: by SCRAM, whose credentials Kafka keeps itself."""
    settings = {"mechanism": "SCRAM-SHA-256", "username": "late", "password": LATE}
    say(shop, secured.broker.secured["sasl_plaintext"], security="sasl_plaintext", **settings)
    with shop.running() as run:
        said = run.await_event("source.retrying")
        assert "refuses the credentials" in said["message"]
        assert "password" in said["suggestion"]
        secured.broker.add_scram_user("late", LATE)
        run.await_event("source.open")
        eventually(lambda: run.get("/livez")[0] == 200, "alive")
        assert run.end()[0] == 143
        log = run.log.read_text()
    assert LATE not in log
    assert "Traceback" not in log
