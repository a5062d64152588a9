"""What can be known of docker-compose.yml without a Docker engine: it is whole, and keeps to itself what is secret.

Files exist, the start order holds, images are pinned, and no service has more than it needs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldwarden.operations.project import Opened
from fieldwarden.rules.loading import Project, ReferenceUnresolved, load_project
from tests.files.deployed import COMPOSE, DEPLOY, PINNED, ROOT, SERVICES

# --- the composition is whole ---------------------------------------------------------------------------------


def test_docker_itself_would_take_it() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker client")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("this docker client has no compose plugin")
    done = subprocess.run(
        ["docker", "compose", "config", "--quiet"],
        cwd=ROOT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_parts_that_were_asked_for_are_there() -> None:
    assert {"kafka", "connect", "postgres", "fieldwarden", "prometheus", "grafana"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition("@")[0].rpartition(":")
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


def test_every_password_is_a_file_of_its_own_that_is_in_no_tree_and_no_image(passwords: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert "${" not in text, "nothing is taken from the environment of whoever starts it"
    assert COMPOSE["secrets"] == {path.name: {"file": f"./deploy/secrets/{path.name}"} for path in passwords.iterdir()}
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    assert not any("deploy/secrets".startswith(top) or top.startswith("deploy/secrets") for top in sent)
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE"), name
            assert not re.search(r"://[^/$]*:[^$/@]+@", value), f"{name} holds a password"


def test_passwords_are_made_once_and_are_nobody_elses(passwords: Path) -> None:
    assert passwords.stat().st_mode & 0o777 == 0o700
    made = {path: path.read_text("ascii") for path in passwords.iterdir()}
    assert len(set(made.values())) == len(made)
    for path, text in made.items():
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", text), path.name
        assert path.stat().st_mode & 0o777 == 0o444, "each container reads its own as a user of its own"
    subprocess.run([sys.executable, DEPLOY / "make_secrets.py", passwords], capture_output=True, check=True)
    assert {path: path.read_text("ascii") for path in passwords.iterdir()} == made


def test_no_service_is_given_a_password_that_it_does_not_need(
    project: Project, passwords: Path, tmp_path: Path
) -> None:
    """Each works with the files that it has; with one less it does not."""

    def reached(name: str) -> Callable[[Opened], object]:
        return {
            "hub": lambda opened: opened.owner_dsn,
            "register": lambda opened: [opened.connect_dsn(system) for system in opened.debezium_systems],
            "fieldwarden": lambda opened: (
                [opened.hub_dsn, opened.run_token, *map(opened.target_dsn, opened.targets)]
                + [opened.dsn(name) for name in opened.sources]
            ),
        }[name]

    for name in ("hub", "register", "fieldwarden"):
        given = SERVICES[name]["secrets"]
        for missing in (None, *given):
            folder = tmp_path / f"{name}-{missing}"
            shutil.copytree(project.folder, folder / "project")
            (folder / "secrets").mkdir()
            for each in given:
                if each != missing:
                    shutil.copy(passwords / each, folder / "secrets")
            for file in (folder / "project").rglob("*.yaml"):
                file.write_text(file.read_text("utf-8").replace("/run/secrets", str(folder / "secrets")), "utf-8")
            opened = Opened(load_project(folder / "project"), None)
            if missing is None:
                reached(name)(opened)
            else:
                with pytest.raises(ReferenceUnresolved):
                    reached(name)(opened)
    assert SERVICES["grafana"]["secrets"] == ["grafana"]
    assert SERVICES["prometheus"]["secrets"] == ["run_token"]
    assert all("secrets" not in SERVICES[name] for name in ("kafka", "connect"))


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_become_more_than_it_is(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name == "postgres" or "cap_add" not in service
    assert not service.get("privileged")
    assert str(service.get("user", "1")).split(":")[0] not in ("0", "root")


def test_the_hub_is_made_by_its_owner_before_anything_works_in_it() -> None:
    assert SERVICES["hub"]["command"] == ["hub", "roles"]
    assert SERVICES["fieldwarden"]["depends_on"]["hub"] == {"condition": "service_completed_successfully"}


def test_a_change_of_the_number_of_workers_needs_no_port() -> None:
    assert "ports" not in SERVICES["fieldwarden"], "two workers cannot both have it: --scale would fail"
