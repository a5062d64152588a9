"""What can be known of docker-compose.yml, the images and the dashboard without a Docker engine.

The composition must be whole (files exist, the start order holds, images are pinned), the same as what the tests run on
(Kafka's and Connect's settings, the versions, the example project), and speak of metrics that exist.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.hub.embedded import EmbeddedServer
from engine.telemetry import Telemetry
from operations import examples
from operations.validate import validate
from rules.loading import Project, load_project
from stack.parts import Broker, Connect

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PASSWORDS = {"POSTGRES_PASSWORD", "GRAFANA_PASSWORD"}
TOKEN = "RUN_TOKEN"
PINNED = re.compile(r"v?\d+\.\d+(\.\d+)?([.-]\S+)?|\d+\.\d+\.\d+_\d+-\S+")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


COMPOSE: dict[str, Any] = read(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project in the image, as the Dockerfile lays it out."""
    folder = tmp_path_factory.mktemp("image") / "project"
    examples.lay_out("quote-to-cash-kafka", folder)
    shutil.copy(DEPLOY / "fieldwarden" / "fieldwarden.yaml", folder)
    return load_project(folder)


# --- the composition is whole ---------------------------------------------------------------------------------


def test_docker_itself_would_take_it() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker client")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("this docker client has no compose plugin")
    done = subprocess.run(
        ["docker", "compose", "config", "--quiet"],
        cwd=ROOT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **dict.fromkeys({*PASSWORDS, TOKEN}, "x")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_parts_that_were_asked_for_are_there() -> None:
    assert {"kafka", "connect", "postgres", "fieldwarden", "prometheus", "grafana"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image, name
    assert "." not in image.split("/")[0], f"{name}: {image} names a registry's host"
    assert PINNED.fullmatch(tag), f"{name}: {tag} is no version"


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_it_mounts_or_builds_from_exists(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), f"{name} mounts {source}"
        else:
            assert source in COMPOSE["volumes"], f"{name} uses a volume {source} that is not declared"
    if build := service.get("build"):
        dockerfile = ROOT / build.get("dockerfile", "Dockerfile")
        assert dockerfile.exists()
        assert (target := build.get("target")) is None or f" AS {target}\n" in dockerfile.read_text("utf-8") + "\n"


def test_what_is_started_later_waits_for_something_that_can_be_seen() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_completed_successfully":
                assert SERVICES[other]["restart"].startswith("on-failure"), f"{other} never completes"
            else:
                assert how["condition"] == "service_healthy", f"{name} does not wait until {other} works"
                assert SERVICES[other]["healthcheck"]["test"], f"{other} has no health check"


def test_the_start_order_has_an_end() -> None:
    left = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    while left:
        ready = {name for name, needs in left.items() if not needs & set(left)}
        assert ready, f"these wait for each other: {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in ready}


def test_connectors_are_registered_before_anything_is_replicated() -> None:
    assert {"connect", "postgres"} <= set(SERVICES["register"]["depends_on"])
    assert {"register", "kafka", "postgres"} <= set(SERVICES["fieldwarden"]["depends_on"])


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_listens_beyond_this_machine(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{name}: {port}"


def test_no_password_stands_in_a_file_and_none_may_be_empty() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) - {"POSTGRES_PASSWORD", "GRAFANA_PASSWORD", "env"} == set()
    for name, rest in re.findall(r"\$\{([A-Z_]*PASSWORD)([^}]*)\}", text):
        assert rest == f":?set {name}"
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or "${" in value, name
            assert not re.search(r"://[^/$]*:[^$/@]+@", value), f"{name} holds a password"


def test_a_change_of_the_number_of_workers_needs_no_port() -> None:
    assert "ports" not in SERVICES["fieldwarden"], "two workers cannot both have it: --scale would fail"


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
    """What `connector register` sends follows from the files alone (connectors/debezium/registration.py)."""
    assert SERVICES["register"]["command"][:2] == ["connector", "register"]
    assert SERVICES["register"]["build"] == SERVICES["fieldwarden"]["build"]
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
    assert ours.pop("hub") == {"dsn": "${env:HUB_DSN}"}
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
    for service in ("register", "fieldwarden"):
        assert wanted == set(SERVICES[service]["environment"])
    assert SERVICES["fieldwarden"]["environment"]["KAFKA_BOOTSTRAP"] in SERVICES["kafka"]["environment"][
        "KAFKA_ADVERTISED_LISTENERS"
    ].replace("INSIDE://", "").split(",")


def test_the_sample_systems_are_made_by_the_mounted_scripts(postgres: EmbeddedServer, tmp_path: Path) -> None:
    """Laid out as in the container, and run by the real psql."""
    mounts = {inside: outside for outside, inside, *_ in (v.split(":") for v in SERVICES["postgres"]["volumes"])}
    for inside, outside in mounts.items():
        if inside.startswith("/docker-entrypoint-initdb.d/"):
            place = tmp_path / Path(inside).name
            shutil.copytree(ROOT / outside, place) if (ROOT / outside).is_dir() else shutil.copy(ROOT / outside, place)
    script = (tmp_path / "systems.sql").read_text("utf-8")
    made = re.findall(r"create database (\w+);", script)
    assert made == ["crm", "billing", "erp"]
    for name in made:
        script = re.sub(rf"(create database|\\connect) {name}\b", rf"\1 compose_{name}", script)
    (tmp_path / "systems.sql").write_text(script, "utf-8")
    psql = [*postgres.psql_command("postgres"), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    try:
        done = subprocess.run([*psql, "-f", tmp_path / "systems.sql"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        drops = [word for name in made for word in ("-c", f"drop database if exists compose_{name}")]
        subprocess.run([*psql, *drops], check=True, capture_output=True)


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
                repository, _, tag = image.partition(":")
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
    parts = {part.rstrip("/") for part in project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]}
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
    secret = f"/run/secrets/{next(iter(COMPOSE['secrets']))}"
    assert COMPOSE["secrets"] == {"run_token": {"environment": TOKEN}}
    assert scrape["authorization"] == {"credentials_file": secret}
    assert project.settings.run.token == f"${{file:{secret}}}"
    assert secret in " ".join(SERVICES["fieldwarden"]["healthcheck"]["test"])
    assert SERVICES["fieldwarden"]["secrets"] == SERVICES["prometheus"]["secrets"] == ["run_token"]
    assert scrape["dns_sd_configs"] == [
        {"names": ["fieldwarden"], "type": "A", "port": port, "refresh_interval": "10s"}
    ]


# --- what is watched ------------------------------------------------------------------------------------------


def metrics() -> dict[str, set[str]]:
    """Every series that a process shows, with its labels."""
    found: dict[str, set[str]] = {"up": {"job", "instance"}}
    for family in Telemetry().registry.collect():
        labels = set(_labels(family.name))
        if family.type == "counter":
            found[f"{family.name}_total"] = labels
        elif family.type == "histogram":
            found[f"{family.name}_bucket"] = labels | {"le"}
            found |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
        else:
            found[family.name] = labels
    return found


def _labels(name: str) -> tuple[str, ...]:
    collectors = Telemetry().registry._names_to_collectors
    return tuple(getattr(collectors[name], "_labelnames", ()))


def expressions() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "fieldwarden.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for group in read(DEPLOY / "prometheus" / "alerts.yml")["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_what_is_drawn_and_watched_exists(title: str, expression: str) -> None:
    known = metrics()
    bare = re.sub(r'"[^"]*"', '""', expression)
    used = set(re.findall(r"\b(fieldwarden_\w+|up)\b", bare))
    assert used
    assert used <= set(known), f"{title}: no such metric"
    labels = set().union(*(known[name] for name in used))
    named = {word.strip() for words in re.findall(r"\bby \(([^)]*)\)", bare) for word in words.split(",")}
    named |= set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", bare))
    assert named <= labels, f"{title}: no such label"


def test_every_metric_is_drawn_or_watched() -> None:
    """What nobody looks at need not be measured: a new one has its place in deploy/grafana/dashboards."""
    used = " ".join(expression for _, expression in expressions())
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in metrics()}
    assert {family for family in families if family not in used} == set()


def test_states_that_are_watched_exist() -> None:
    from engine.telemetry import STATES

    for title, expression in expressions():
        for words in re.findall(r'state=~?"([^"]+)"', expression):
            assert set(words.split("|")) <= set(STATES), title


def test_alerts_say_what_is_the_matter_and_who_should_come() -> None:
    for group in read(DEPLOY / "prometheus" / "alerts.yml")["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "warn"), rule["alert"]
            assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]


def test_the_dashboard_is_found_and_asks_the_provisioned_prometheus() -> None:
    (source,) = read(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    (provider,) = read(DEPLOY / "grafana" / "provisioning" / "dashboards" / "fieldwarden.yml")["providers"]
    mounted = dict(reversed(volume.split(":")[:2]) for volume in SERVICES["grafana"]["volumes"])
    folder = ROOT / mounted[provider["options"]["path"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / Path(home).name).exists()
    assert source["url"].startswith("http://prometheus:")
    for path in folder.glob("*.json"):
        dashboard = json.loads(path.read_text("utf-8"))
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        for panel in dashboard["panels"]:
            for asked in [panel, *panel.get("targets", [])]:
                if panel["type"] != "row":
                    assert asked["datasource"] == {"type": "prometheus", "uid": source["uid"]}


def test_prometheus_loads_the_alerts_beside_it() -> None:
    assert read(DEPLOY / "prometheus" / "prometheus.yml")["rule_files"] == ["alerts.yml"]
    assert (DEPLOY / "prometheus" / "alerts.yml").exists()
