"""What docker-compose.yml runs is what the tests run on, and the images hold what is needed and no more.

Kafka's and Connect's settings, the versions, the example project, the roles that the mounted scripts make.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from fieldwarden.cli import cli
from fieldwarden.connectors.postgres.looking.probe import probe
from fieldwarden.engine.hub.migrate import make_roles, migrate
from fieldwarden.engine.hub.roles import HubRoles
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.operations import examples
from fieldwarden.operations.shell.validate import validate
from fieldwarden.rules.loading import Project
from stack.parts import Broker, Connect
from tests.files.deployed import DEPLOY, PINNED, ROOT, SERVICES, read
from tests.integration.cli_project import execute

ROLES = DEPLOY / "postgres" / "roles"
SOURCES = {"crm": "crm_source", "billing": "billing_source", "erp": "erp_source"}


# --- it is what the tests run on ------------------------------------------------------------------------------


IN_A_HURRY = {
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "controlled.shutdown.enable",
    "group.min.session.timeout.ms",
    "heartbeat.interval.ms",
    "session.timeout.ms",
}
"""Settings by which tests that kill a part wait less; no deployment wants them."""


def properties(path: Path) -> dict[str, str]:
    lines = (line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def versions() -> dict[str, str]:
    return dict(re.findall(r"<(\w+)\.version>([^<]+)<", (ROOT / "stack" / "pom.xml").read_text("utf-8")))


def test_connect_has_the_settings_of_the_tested_one(tmp_path: Path) -> None:
    command = Connect(tmp_path, 1, "kafka:1", heap="1g", quick=False).arguments()
    assert f'"{command[2]}"' in (DEPLOY / "connect" / "Dockerfile").read_text("utf-8")
    tested, ours = properties(tmp_path / "connect.properties"), properties(DEPLOY / "connect" / "connect.properties")
    places = {"bootstrap.servers", "listeners", "rest.advertised.host.name", "plugin.path"}
    assert {name: value for name, value in ours.items() if name not in places} == {
        name: value for name, value in tested.items() if name not in places | IN_A_HURRY
    }
    assert places <= set(ours)


def test_kafka_has_the_settings_of_the_tested_one(tmp_path: Path) -> None:
    Broker(tmp_path, 1, 2, heap="1g", quick=False).arguments()
    tested = properties(tmp_path / "server.properties")
    environment = SERVICES["kafka"]["environment"]
    ours = {name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in environment.items()}
    places = {name for name in tested if "listener" in name or name in ("controller.quorum.voters", "log.dirs")}
    for name in sorted(set(tested) - places - IN_A_HURRY):
        assert ours.get(name) == tested[name], name


def test_it_has_the_versions_of_the_tested_ones() -> None:
    version = versions()
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version['kafka']}"
    assert SERVICES["connect"]["image"] == f"fieldwarden-connect:{version['kafka']}-{version['debezium']}"
    assert "COPY stack/pom.xml" in (DEPLOY / "connect" / "Dockerfile").read_text("utf-8")


def test_its_connectors_are_those_of_the_example(project: Project) -> None:
    """What `connector register` sends follows from the files alone (connectors/debezium/connect/registration.py)."""
    assert SERVICES["register"]["command"][:2] == ["connector", "register"]
    assert SERVICES["register"]["build"] == SERVICES["fieldwarden"]["build"] == SERVICES["hub"]["build"]
    folder = project.folder
    for system in ("crm", "billing", "erp"):
        file = read(folder / "systems" / f"{system}.yaml")
        plain = read(ROOT / "examples" / "quote-to-cash" / "systems" / f"{system}.yaml")
        assert file["streams"] == plain["streams"]
        assert file["connector"]["kind"] == ("postgres" if system == "erp" else "debezium")


def test_the_project_in_the_image_differs_from_the_example_only_in_where_things_are(
    project: Project, tmp_path: Path
) -> None:
    examples.lay_out("quote-to-cash-kafka", tmp_path)
    ours, plain = read(project.folder / "fieldwarden.yaml"), read(tmp_path / "fieldwarden.yaml")
    assert set(ours.pop("hub")) == {"dsn", "owner_dsn"}
    assert ours.pop("run") == {
        **plain.pop("run"),
        "host": "0.0.0.0",
        "token": "${file:/run/secrets/run_token}",
    }
    assert ours == plain


def test_the_project_in_the_image_is_valid_and_is_given_all_it_refers_to(project: Project) -> None:
    assert validate(project.folder).exit_code == 0
    files = [project.folder / "fieldwarden.yaml", *(project.folder / "systems").glob("*.yaml")]
    lines = (line.split("#")[0] for file in files for line in file.read_text("utf-8").splitlines())
    wanted = {name for line in lines for name in re.findall(r"\$\{env:(\w+)\}", line)}
    for service in ("hub", "register", "fieldwarden"):
        assert wanted == set(SERVICES[service]["environment"])
    assert SERVICES["fieldwarden"]["environment"]["KAFKA_BOOTSTRAP"] in SERVICES["kafka"]["environment"][
        "KAFKA_ADVERTISED_LISTENERS"
    ].replace("INSIDE://", "").split(",")


def printed(project: Project, *words: str) -> str:
    result = CliRunner().invoke(cli, [*words, "--print", "--json", "--project", str(project.folder)])
    return str(json.loads(result.stdout.splitlines()[-1])["result"]["sql"]) + "\n"


def test_the_roles_are_those_that_the_program_prints(project: Project) -> None:
    """To renew one: `fieldwarden target roles crm --source crm_source --target crm_target --print` in that project."""
    assert (ROLES / "hub.sql").read_text("utf-8") == printed(project, "hub", "roles", "--new")
    for system, source in SOURCES.items():
        words = ("target", "roles", system, "--source", source, "--target", f"{system}_target")
        assert (ROLES / f"{system}.sql").read_text("utf-8") == printed(project, *words), system


class Made:
    """The server of the composition, made by the mounted scripts on the tests' own, in databases of other names."""

    def __init__(self, postgres: EmbeddedServer, place: Path, passwords: Path) -> None:
        self.postgres, self.place, self.passwords = postgres, place, passwords
        self.psql = [*postgres.psql_command("postgres"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]

    def make(self) -> None:
        for outside, inside, *_ in (volume.split(":") for volume in SERVICES["postgres"]["volumes"]):
            if inside.startswith("/docker-entrypoint-initdb.d/"):
                place, source = self.place / Path(inside).name, ROOT / outside
                shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
        script = (self.place / "systems.sql").read_text("utf-8")
        assert re.findall(r"create database (\w+);", script) == list(SOURCES)
        script = re.sub(r"(create database|\\connect) (\w+)\b", r"\1 compose_\2", script)
        (self.place / "systems.sql").write_text(f"create database compose_fieldwarden;\n{script}", "utf-8")
        path = self.place / "roles" / "passwords.sql"
        path.write_text(path.read_text("utf-8").replace("/run/secrets", str(self.passwords)), "utf-8")
        done = self.run("-f", str(self.place / "systems.sql"))
        assert done.returncode == 0, done.stderr

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.psql, *words], capture_output=True, text=True, check=False)

    def dsn(self, role: str, secret: str, database: str) -> str:
        """Over TCP, by the role's own password."""
        password = (self.passwords / secret).read_text("ascii")
        return f"postgresql://{role}:{password}@127.0.0.1:{self.postgres.port}/compose_{database}"

    def gone(self) -> None:
        databases = ("fieldwarden", *SOURCES)
        drops = [f"drop database if exists compose_{name} with (force)" for name in databases]
        roles = [f"fieldwarden_{each}" for each in ("owner", "runtime", "reader", "auditor")]
        roles += [*SOURCES.values(), *(f"{system}_target" for system in SOURCES)]
        drops += [f"drop role if exists {role}" for role in roles]
        done = self.run(*(word for drop in drops for word in ("-c", drop)))
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made(postgres: EmbeddedServer, passwords: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    server = Made(postgres, tmp_path_factory.mktemp("made") / "initdb", passwords)
    server.place.mkdir()
    try:
        server.make()
        yield server
    finally:
        server.gone()


def test_the_systems_and_roles_are_made_by_the_mounted_scripts(made: Made) -> None:
    for system in SOURCES:
        for role in (f"{system}_source", f"{system}_target"):
            assert execute(made.dsn(role, role, system), "select current_user") == [(role,)]
            for other in {"fieldwarden", *SOURCES} - {system}:
                with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                    execute(made.dsn(role, role, other), "select 1")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        execute(made.dsn("crm_source", "crm_target", "crm"), "select 1")


def test_a_role_without_a_password_cannot_log_in_yet(made: Made) -> None:
    for role in ("fieldwarden_reader", "fieldwarden_auditor"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            execute(made.dsn(role, "hub_runtime", "fieldwarden"), "select 1")


def test_the_service_hub_makes_the_hub_and_the_engine_works_there_as_the_runtime(made: Made) -> None:
    owner = made.dsn("fieldwarden_owner", "hub_owner", "fieldwarden")
    runtime = made.dsn("fieldwarden_runtime", "hub_runtime", "fieldwarden")
    for _ in range(2):  # as at every `up`
        make_roles(owner, HubRoles())
    assert migrate(runtime) == []
    for statement in ("delete from fieldwarden.ledger_entry", "create table fieldwarden.mine ()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(runtime, statement)


@pytest.mark.parametrize("system", SOURCES)
def test_doctor_finds_nothing_missing_in_any_system(made: Made, project: Project, system: str) -> None:
    rules = project.rulebook.systems[system]
    dsn, target = (made.dsn(f"{system}_{half}", f"{system}_{half}", system) for half in ("source", "target"))
    if rules.kind == "debezium":
        dsn = target  # Debezium has the other
    found = asyncio.run(probe(rules, dsn, project.rulebook.entities, target_dsn=target))
    assert [each for each in found if each.level in ("error", "warning") and each.subject in PRIVILEGES] == []
    assert {each.subject for each in found} & {"connection", "server"}, found


PRIVILEGES = {"privilege", "role", "publication", "connection", "replication"}


# --- the images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["Dockerfile", "deploy/connect/Dockerfile"])
class TestImages:
    def stages(self, path: str) -> list[tuple[str, str, str]]:
        """(image, name, body) of each stage."""
        text = (ROOT / path).read_text("utf-8")
        arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
        found = re.findall(r"^FROM (\S+)(?: AS (\S+))?\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
        return [(re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], image), name, body) for image, name, body in found]

    def test_bases_are_pinned(self, path: str) -> None:
        names = {name for _, name, _ in self.stages(path)}
        for image, _, _ in self.stages(path):
            if image not in names:
                repository, _, tag = image.partition("@")[0].partition(":")
                assert "." not in repository.split("/")[0], "names a registry's host"
                assert PINNED.fullmatch(tag), image

    def test_nobody_is_root_in_the_end(self, path: str) -> None:
        stages = {name or "last": (image, body) for image, name, body in self.stages(path)}
        image, body = list(stages.values())[-1]
        bodies = [body]
        while image in stages:
            image, body = stages[image]
            bodies.insert(0, body)
        users = re.findall(r"^USER (\S+)", "\n".join(bodies), re.MULTILINE)
        assert users
        assert users[-1] not in ("root", "0")

    def test_it_says_how_it_is_told_to_be_alive(self, path: str) -> None:
        bodies = "\n".join(body for _, _, body in self.stages(path))
        assert re.search(r"^HEALTHCHECK ", bodies, re.MULTILINE)
        assert "curl" not in bodies

    def test_all_it_copies_is_sent_to_the_builder(self, path: str) -> None:
        allowed = [
            line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
        ]
        for _, _, body in self.stages(path):
            for line in re.findall(r"^COPY (.+)$", body, re.MULTILINE):
                words = [word for word in line.split() if not word.startswith("--chown")]
                for source in words[:-1] if not words[0].startswith("--from") else []:
                    assert (ROOT / source).exists(), source
                    assert any(source == top or source.startswith(f"{top}/") for top in allowed), source


def test_the_image_holds_what_is_locked_and_nothing_to_build_with() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    wheels, last = text.split("FROM ${PYTHON} AS base")
    assert "--require-hashes" in wheels
    assert wheels.count("--no-index") >= 3, "after the lock's wheels nothing more is fetched"
    assert not re.search(r"\b(pip|apt-get|gcc)\b", last)


def test_the_image_is_built_from_all_that_the_program_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    parts = {"fieldwarden", *(each.name for each in (ROOT / "fieldwarden").iterdir() if each.is_symlink())}
    parts |= {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    lines = re.findall(r"^COPY (.+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert parts <= set(" ".join(lines).split())
    assert sorted(set(lines)) == sorted(lines), "nothing is copied twice"


def test_the_health_checks_ask_the_port_that_is_served(project: Project) -> None:
    port = project.settings.run.port
    assert f":{port}/livez" in (ROOT / "Dockerfile").read_text("utf-8")
    assert f"EXPOSE {port}" in (ROOT / "Dockerfile").read_text("utf-8")
    assert f":{port}/readyz" in " ".join(SERVICES["fieldwarden"]["healthcheck"]["test"])
    (scrape,) = read(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    secret = "/run/secrets/run_token"
    assert scrape["authorization"] == {"credentials_file": secret}
    assert project.settings.run.token == f"${{file:{secret}}}"
    assert secret in " ".join(SERVICES["fieldwarden"]["healthcheck"]["test"])
    assert scrape["dns_sd_configs"] == [
        {"names": ["fieldwarden"], "type": "A", "port": port, "refresh_interval": "10s"}
    ]
