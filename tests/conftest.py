"""The real servers every test works against: one throw-away PostgreSQL per worker, one Kafka stack per run.

`postgres` is the shared server, `database` a fresh database's DSN, `make_database` makes more of them, `hub_dsn` is
a database with the hub's schema in it (cloned from a template), `hub` a hub there and then one in memory, `roled` one
whose roles are `named`. `crashable_postgres` is a server of the test's own, for those that kill it. `shop` is the
starter project on databases of its own, `parties` one whose ERP keeps several things in one table.

`kafka` is the run's stack with the broker up, `stack` the same with Kafka Connect, `registry` with the schema registry
as well: started once, by whichever worker asks first, stopped when the run ends. `debezium` registers a source for
the test. `crashable_stack` is a stack of the test's own. Without Java or Maven they skip; with CI=true they fail.

`topics`, `kafka_shop` and `kafka_world` are what tests begin with on that stack: bare topics, a project of one system
behind Debezium, the landscape that faults are let loose on.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_timeout
import structlog
from hypothesis import settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fieldwarden.engine.hub.migrate import make_roles, migrate
from fieldwarden.engine.hub.roles import HubRoles
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.testing import MemoryHub
from stack import Stack, connectors, why_unfit
from stack.process import free_port
from tests.faults import kafka as landscape_on_kafka
from tests.faults.kafka import KafkaWorld
from tests.integration import hub_roles, kafka_project
from tests.integration.cli_project import Shop, make_shop
from tests.integration.kafka_project import KafkaShop
from tests.integration.kafka_world import Topics
from tests.integration.mechanisms import Parties
from tests.parts import ROOT_OF_KAFKA, mark_kafka, refuse_unmarked
from tests.patience import Patience, eventually

THROW_AWAY = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "autovacuum_naptime": "5s"}

LONGEST = (
    "test_failpoints.py",
    "test_kafka_life.py",
    "test_demo_kafka.py",
    "test_workers.py",
    "test_stack.py",
    "test_kafka_rebaseline.py",
    "test_kafka_schema_changes.py",
)
"""Files that take the better part of a minute or more."""

LOOK_SECONDS = 5.0
"""How often it is looked whether a test's time is over."""

_numbers = itertools.count(1)

settings.register_profile("fieldwarden", deadline=None)  # a busy machine is no fault of an example
settings.load_profile("fieldwarden")


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers are handed whole files in this order: the longest first, lest one of them runs on alone at the end."""
    mark_kafka(items)
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """A test as a whole, too, has its time as `Patience` measures it."""
    if settings.method != "signal":
        return None
    left = Patience(settings.timeout)

    def look(*_: object) -> None:
        if left.over():
            cancel()  # once: raised again, it would break the report of the test that failed
            pytest_timeout.timeout_sigalrm(item, settings)

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel  # type: ignore[attr-defined]  # where pytest-timeout looks for it
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    return True


def _server(name: str) -> Iterator[EmbeddedServer]:
    folder = Path(tempfile.mkdtemp(prefix=f"fieldwarden-{name}-"))
    server = EmbeddedServer(folder, port=free_port(), settings=THROW_AWAY)
    try:
        server.start()
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedServer]:
    yield from _server("shared")


@pytest.fixture(autouse=True)
def logs_as_at_the_start() -> Iterator[None]:
    """A command that ran in this process set them up for itself."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def crashable_postgres() -> Iterator[EmbeddedServer]:
    yield from _server("crashable")


def _run(server: EmbeddedServer, statement: str, *names: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def drop_database(server: EmbeddedServer, name: str) -> None:
    """Drop a database, if it is there, with everybody in it; its replication slots go with it once nobody streams from
    them. Nobody new is let in meanwhile: Debezium, for one, comes again by itself."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        if admin.execute("select from pg_database where datname = %s", [name]).fetchone() is None:
            return
        _run(server, "alter database {} with allow_connections false", name)
        held = "select pg_terminate_backend(active_pid) from pg_replication_slots where database = %s and active"
        eventually(lambda: not admin.execute(held, [name]).fetchall(), f"the replication slots of {name} to be let go")
    _run(server, "drop database {} with (force)", name)


@pytest.fixture
def make_database(postgres: EmbeddedServer) -> Iterator[Callable[..., str]]:
    """`make_database(template="template1")` -> DSN of a new database; all are dropped after the test."""
    made: list[str] = []

    def make(template: str = "template1") -> str:
        name = f"test_{next(_numbers)}"
        _run(postgres, "create database {} template {}", name, template)
        made.append(name)
        return postgres.dsn(name)

    yield make
    for name in made:
        drop_database(postgres, name)


@pytest.fixture
def make_role(postgres: EmbeddedServer, make_database: Callable[..., str]) -> Iterator[Callable[..., str]]:
    """`make_role(dsn, *grants)` -> DSN of a role that can log in there and may do just that ("grant ... to {}"); all
    are dropped after the test."""
    made: list[tuple[str, str]] = []

    def make(dsn: str, *grants: str) -> str:
        role = f"actor_{next(_numbers)}"
        made.append((dsn, role))
        with psycopg.connect(dsn, autocommit=True) as admin:
            for statement in ("create role {} login", *grants):
                admin.execute(sql.SQL(statement).format(sql.Identifier(role)))
        return make_conninfo(dsn, user=role)

    yield make
    for dsn, role in made:
        with psycopg.connect(dsn, autocommit=True) as admin:
            for statement in ("drop owned by {}", "drop role {}"):
                admin.execute(sql.SQL(statement).format(sql.Identifier(role)))


@pytest.fixture
def database(make_database: Callable[..., str]) -> str:
    return make_database()


@pytest.fixture(scope="session")
def hub_template(postgres: EmbeddedServer) -> str:
    """A migrated hub that is only ever copied."""
    name = "hub_template"
    _run(postgres, "create database {}", name)
    migrate(postgres.dsn(name))
    return name


@pytest.fixture
def hub_dsn(hub_template: str, make_database: Callable[..., str]) -> str:
    return make_database(hub_template)


@pytest.fixture
def named(database: str) -> Iterator[HubRoles]:
    """Names that no other test has; the roles of these names go after the test."""
    number = f"{os.getpid()}_{next(_numbers)}"
    roles = HubRoles(*(f"{each}_{number}" for each in ("owner", "runtime", "reader", "auditor")))
    yield roles
    hub_roles.drop(database, *roles.named)


@pytest.fixture
def roled(database: str, named: HubRoles) -> str:
    """A hub with its roles; the DSN is its superuser's."""
    make_roles(database, named)
    return database


@pytest.fixture
async def postgres_hub(hub_dsn: str) -> AsyncIterator[PostgresHub]:
    """A hub on PostgreSQL whose clock stands still."""
    hub = PostgresHub(hub_dsn, clock=lambda: 1_700_000_000_123_456)
    yield hub
    await hub.close()


@pytest.fixture(params=["postgres", "memory"])
async def hub(request: pytest.FixtureRequest) -> AsyncIterator[Hub]:
    """A hub on PostgreSQL, and the one in memory, for what every hub keeps."""
    hub: Hub = PostgresHub(request.getfixturevalue("hub_dsn")) if request.param == "postgres" else MemoryHub()
    yield hub
    await hub.close()


_RUN = pytest.StashKey[Path]()  # the state file of this run's stack


def pytest_configure(config: pytest.Config) -> None:
    """A shell has what it runs in the background ignore SIGINT, and whatever tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        config.stash[_RUN] = Path(tempfile.mkdtemp(prefix="fieldwarden-run-")) / "stack.json"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The one process that outlives all workers tells each of them where the stack is (pytest-xdist)."""
    node.workerinput["stack"] = str(node.config.stash[_RUN])


def pytest_unconfigure(config: pytest.Config) -> None:
    if (state := config.stash.get(_RUN, None)) is None:
        return
    if state.exists():
        Stack(state).stop()
    shutil.rmtree(state.parent, ignore_errors=True)


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    if fixturedef.argname == ROOT_OF_KAFKA:
        refuse_unmarked(request._pyfuncitem)


@pytest.fixture(scope="session")
def java() -> None:
    """Nothing but the certainty that the stack can run here. Every fixture of the stack is built on it."""
    reason = why_unfit()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"the stack must run where CI=true: {reason}")
    if reason:
        pytest.skip(f"the stack cannot run here: {reason}")


@pytest.fixture(scope="session")
def kafka(java: None, pytestconfig: pytest.Config) -> Stack:
    worker = getattr(pytestconfig, "workerinput", None)
    stack = Stack(Path(worker["stack"]) if worker else pytestconfig.stash[_RUN])
    stack.start_broker()
    return stack


@pytest.fixture(scope="session")
def stack(kafka: Stack) -> Stack:
    kafka.start()
    return kafka


@pytest.fixture(scope="session")
def registry(stack: Stack) -> Stack:
    stack.start_registry()
    return stack


@pytest.fixture
def crashable_stack(java: None, tmp_path: Path) -> Iterator[Stack]:
    """Nothing of it runs yet: `start_broker()` or `start()` it, kill and start its parts as the test likes."""
    stack = Stack(tmp_path / "stack.json")
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def over_tcp(postgres: EmbeddedServer) -> Callable[[str], str]:
    """`over_tcp(dsn)` -> the same database of `postgres` over TCP with a password, as Debezium needs it."""
    return lambda dsn: postgres.dsn(str(conninfo_to_dict(dsn)["dbname"]), tcp=True)


@pytest.fixture
def prefix() -> str:
    """A name no other test of the run has: for topics, connectors, slots, consumer groups."""
    return f"t{os.getpid()}_{next(_numbers)}"


@pytest.fixture
def debezium(
    stack: Stack, make_database: Callable[..., str], over_tcp: Callable[[str], str], prefix: str
) -> Iterator[Callable[..., str]]:
    """`debezium(dsn, "public.customer", snapshot__mode="no_data")` -> the topics' prefix, once the source runs.

    Further settings by name (a double underscore stands for a dot) or as a mapping (`avro(...)`). It goes after the
    test.
    """
    made: list[str] = []

    def register(dsn: str, tables: str, settings: Mapping[str, str] | None = None, **overrides: str) -> str:
        name = f"{prefix}_{len(made)}" if made else prefix
        made.append(name)
        source = connectors.postgres_source(over_tcp(dsn), prefix=name, tables=tables, **overrides)
        connectors.register(stack.connect_url, name, source | dict(settings or {}))
        return name

    yield register
    for name in made:
        connectors.delete(stack.connect_url, name)


@pytest.fixture
async def topics(kafka: Stack, prefix: str) -> AsyncIterator[Topics]:
    """None yet: make them."""
    async with Topics(kafka.bootstrap, prefix) as topics:
        yield topics


@pytest.fixture
def shop(tmp_path: Path, make_database: Callable[..., str]) -> Shop:
    """The starter project on databases of its own; nothing runs yet."""
    return make_shop(tmp_path / "shop", make_database(), make_database(), make_database())


@pytest.fixture
def parties(tmp_path: Path, make_database: Callable[..., str]) -> Parties:
    """An ERP with several meanings in one table, and a flat CRM; nothing runs yet."""
    return Parties(tmp_path / "parties", make_database(), make_database(), make_database())


@pytest.fixture
def kafka_shop(
    tmp_path: Path, stack: Stack, prefix: str, make_database: Callable[..., str], over_tcp: Callable[[str], str]
) -> Iterator[KafkaShop]:
    """Nothing is registered yet, and there is no hub: most commands about connectors need none."""
    reached = {"HUB_DSN": "host=nowhere", "KAFKA": stack.bootstrap, "CONNECT": stack.connect_url}
    with kafka_project.kafka_shop(tmp_path, prefix, over_tcp(make_database()), **reached) as shop:
        yield shop


@pytest.fixture
def kafka_world(
    tmp_path: Path, stack: Stack, prefix: str, make_database: Callable[..., str], over_tcp: Callable[[str], str]
) -> Iterator[KafkaWorld]:
    """Its connectors run."""
    with landscape_on_kafka.kafka_world(tmp_path / "world", stack, make_database, over_tcp, prefix) as world:
        yield world
