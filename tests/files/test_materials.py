"""What everything is made of: artefacts that are what is recorded, images by digest, a bill of materials, an audit that
says when it asked nobody."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from stack import artefacts, audit, checksums, images, sbom
from stack.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("kafka", "avro", "registry")
DIGEST = "sha256:" + "0123456789abcdef" * 4


# --- Maven's artefacts ------------------------------------------------------------------------------------------


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    """A target folder of two files, recorded."""
    (tmp_path / "target" / "kafka").mkdir(parents=True)
    for name in ("a.jar", "b.jar"):
        (tmp_path / "target" / "kafka" / name).write_text(name)
    checksums.record("kafka", [tmp_path / "target" / "kafka"], tmp_path / "target", tmp_path / "lists")
    return tmp_path


def verify(place: Path) -> None:
    checksums.verify("kafka", [place / "target" / "kafka"], place / "target", place / "lists")


def test_what_is_recorded_passes(laid_out: Path) -> None:
    verify(laid_out)


def test_a_changed_a_missing_and_an_added_file_are_each_named(laid_out: Path) -> None:
    kafka = laid_out / "target" / "kafka"
    (kafka / "a.jar").write_text("another")
    (kafka / "b.jar").unlink()
    (kafka / "c.jar").write_text("new")
    with pytest.raises(checksums.Mismatch) as caught:
        verify(laid_out)
    for said in ("kafka/a.jar is another file", "kafka/b.jar is missing", "kafka/c.jar was never recorded"):
        assert said in str(caught.value)
    assert "make lock-artefacts" in str(caught.value)


def test_what_differs_is_never_used(laid_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the very way by which the tests' stack comes: no stamp, so that the next fetch asks again."""
    target = laid_out / "target"
    monkeypatch.setattr(artefacts, "TARGET", target)
    monkeypatch.setattr(artefacts, "_FOLDERS", {"kafka": [target / "kafka"]})
    monkeypatch.setattr(artefacts, "_lay_out", lambda profile: (target / "kafka" / "a.jar").write_text("another"))
    monkeypatch.setattr(checksums.verify, "__defaults__", (laid_out / "lists",))
    for _ in range(2):
        with pytest.raises(artefacts.StackUnfit, match=r"kafka/a\.jar is another file than recorded"):
            artefacts.fetch("kafka")
    assert list(target.glob("fetched-*")) == []
    monkeypatch.setattr(artefacts, "_lay_out", lambda profile: (target / "kafka" / "a.jar").write_text("a.jar"))
    artefacts.fetch("kafka")
    assert [path.name for path in target.glob("fetched-*")] == ["fetched-kafka"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_of_the_pom_is_recorded(profile: str) -> None:
    assert f"<id>{profile}</id>" in (ROOT / "stack" / "pom.xml").read_text("utf-8")
    assert len(checksums.recorded(profile)) > 20


def test_the_recorded_versions_are_those_of_the_pom() -> None:
    text = (ROOT / "stack" / "pom.xml").read_text("utf-8")
    version = dict(re.findall(r"<([\w.]+)\.version>([^<]+)<", text))
    names = {name for profile in PROFILES for name in checksums.recorded(profile)}
    assert f"kafka/connect-runtime-{version['kafka']}.jar" in names
    assert f"plugins/debezium-connector-postgres/debezium-connector-postgres-{version['debezium']}.jar" in names
    assert f"registry/apicurio-registry-app-{version['apicurio']}-runner.jar" in names


def test_what_is_recorded_names_no_place_that_it_came_from() -> None:
    for path in (ROOT / "stack" / "checksums").iterdir():
        assert "://" not in path.read_text("utf-8"), path.name


def test_the_image_of_kafka_connect_checks_the_same_list() -> None:
    text = (ROOT / "deploy" / "connect" / "Dockerfile").read_text("utf-8")
    assert "COPY stack/checksums/kafka.sha256 " in text
    assert "sha256sum --check --strict" in text


# --- images -----------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for file in images.FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_every_image_that_is_not_built_here_is_found() -> None:
    found = images.images()
    assert {name.partition(":")[0] for name in found} == {
        "postgres",
        "apache/kafka",
        "prom/prometheus",
        "grafana/grafana",
        "python",
        "maven",
        "eclipse-temurin",
    }


def test_once_images_are_pinned_none_goes_without_its_digest() -> None:
    """As long as no registry could be asked there is no list, and no digest that could not be held against it."""
    assert images.loose() == []
    if images.pinned() is None:
        assert {digest for digests in images.images().values() for digest in digests} == {""}


BESIDE = f"sha256:{'f' * 64}"
WRITTEN = {
    "docker-compose.yml": f"""\
services:
  db: {{}}
  queue:
    image: apache/kafka:4.3.1@{DIGEST}
  other:
    image: apache/kafka:4.3.1
  shop:
    image: fieldwarden-shop:0.1.0
""",
    "Dockerfile": f"ARG PYTHON=python:3.11.14-slim@{BESIDE}\nFROM ${{PYTHON}} AS base\nFROM base\n",
    "deploy/connect/Dockerfile": "FROM maven:3.9\n",
}


def test_files_and_a_list_that_somebody_wrote_by_hand_are_held_against_each_other(tmp_path: Path) -> None:
    for file, text in WRITTEN.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, "utf-8")
    assert images.loose(tmp_path) == [], "nothing is pinned yet"
    listed = {"apache/kafka:4.3.1": DIGEST, "python:3.11.14-slim": DIGEST, "postgres:18": DIGEST}
    text = "".join(f"{name} {digest}\n" for name, digest in listed.items())
    (tmp_path / images.LIST).write_text(text, "utf-8")
    assert images.loose(tmp_path) == [
        f"apache/kafka:4.3.1 is named by its tag alone and {DIGEST}, listed as {DIGEST}: make pin-images",
        f"python:3.11.14-slim is named by {BESIDE}, listed as {DIGEST}: make pin-images",
        "maven:3.9 is named by its tag alone, listed as nothing: make pin-images",
        "postgres:18 is listed and not used: make pin-images",
    ]


def test_digests_are_written_behind_the_tags(tree: Path) -> None:
    digests = images.pin(lambda image: DIGEST, tree)
    assert images.pinned(tree) == digests == dict.fromkeys(images.images(), DIGEST)
    assert images.loose(tree) == []
    compose = (tree / "docker-compose.yml").read_text("utf-8")
    assert re.search(rf"image: postgres:18\.\d+-bookworm@{DIGEST}\n", compose)
    assert "fieldwarden-quote-to-cash:0.1.0\n" in compose, "what is built here has no registry's digest"
    assert f"ARG PYTHON=python:3.11.14-slim-bookworm@{DIGEST}\n" in (tree / "Dockerfile").read_text("utf-8")
    images.pin(lambda image: DIGEST.replace("0", "f"), tree)
    assert DIGEST not in (tree / "docker-compose.yml").read_text("utf-8"), "a second time renews them"


def test_a_tag_without_its_digest_is_named_once_there_is_a_list(tree: Path) -> None:
    images.pin(lambda image: DIGEST, tree)
    path = tree / "docker-compose.yml"
    path.write_text(path.read_text("utf-8").replace(f"apache/kafka:4.3.1@{DIGEST}", "apache/kafka:4.3.1"), "utf-8")
    (wrong,) = images.loose(tree)
    assert wrong.startswith("apache/kafka:4.3.1 is named by its tag alone")
    path.write_text(path.read_text("utf-8").replace("apache/kafka:4.3.1", f"apache/kafka:4.4.0@{DIGEST}"), "utf-8")
    assert any("apache/kafka:4.4.0" in each for each in images.loose(tree))
    assert any("apache/kafka:4.3.1 is listed and not used" in each for each in images.loose(tree))


def test_where_no_registry_answers_nothing_is_written(tree: Path) -> None:
    before = {file: (tree / file).read_bytes() for file in images.FILES}

    def unreachable(image: str) -> str:
        raise images.Unreachable(image)

    for ask in (unreachable, lambda image: "not-a-digest"):
        with pytest.raises(images.Unreachable):
            images.pin(ask, tree)
        assert {file: (tree / file).read_bytes() for file in images.FILES} == before
        assert images.pinned(tree) is None


def test_a_client_that_fails_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\necho 'no such host' >&2\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(images.Unreachable, match="postgres: no such host"):
        images.ask_registry("postgres")
    client.write_text(f"#!/bin/sh\necho {DIGEST}\n")
    assert images.ask_registry("postgres") == DIGEST
    client.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(images.Unreachable, match="FileNotFoundError"):
        images.ask_registry("postgres")


# --- the bill of materials --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    text = sbom.bill()
    assert text == sbom.bill(), "the same commit has the same bill"
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_bill_names_every_locked_package_with_its_hashes(bill: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    locked = set(re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, re.MULTILINE))
    parts = {
        (each["name"], each["version"]): each for each in bill["components"] if each["bom-ref"].startswith("pkg:pypi")
    }
    assert set(parts) == locked
    hashes = {one["content"] for each in parts.values() for one in each["hashes"]}
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", lock))


def test_the_bill_names_every_jar_with_its_hash(bill: dict[str, Any]) -> None:
    jars = {n: d for profile in PROFILES for n, d in checksums.recorded(profile).items() if n.endswith(".jar")}
    parts = {each["bom-ref"]: each for each in bill["components"]}
    assert set(jars) <= set(parts)
    for name, digest in jars.items():
        assert parts[name]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert parts["kafka/log4j-core-2.25.3.jar"]["purl"] == "pkg:maven/org.apache.logging.log4j/log4j-core@2.25.3"
    known = [name for name in jars if "purl" in parts[name]]
    assert len(known) > 0.8 * len(jars), "a scanner finds a jar by its coordinates"


def test_the_bill_is_of_this_version_and_depends_on_all_of_it(bill: dict[str, Any]) -> None:
    assert bill["bomFormat"] == "CycloneDX"
    assert f'version = "{bill["metadata"]["component"]["version"]}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    (own,) = [each for each in bill["dependencies"] if each["ref"] == "fieldwarden"]
    assert set(own["dependsOn"]) == {each["bom-ref"] for each in bill["components"]}


# --- the audit --------------------------------------------------------------------------------------------------

CLEAN = {"name": "click", "version": "8.1", "vulns": []}
BAD = {"name": "pip", "version": "1.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}
UNTOLD = {"name": "ruff", "skip_reason": "Dependency not found on PyPI and could not be audited: ruff (0.8)"}


def test_an_audit_that_asked_nobody_is_no_success() -> None:
    found = audit.read({"dependencies": [UNTOLD]})
    assert found.code == audit.NOT_AUDITED
    assert "NOT audited: 1 packages" in str(found)
    assert audit.read({"dependencies": [CLEAN, UNTOLD]}).code == audit.NOT_AUDITED
    assert audit.read({"dependencies": []}).code == audit.NOT_AUDITED
    assert audit.read({"dependencies": [CLEAN]}).code == 0


def test_a_vulnerability_is_named_and_outranks_what_was_not_told() -> None:
    found = audit.read({"dependencies": [CLEAN, BAD, UNTOLD]})
    assert found.code == audit.VULNERABLE
    assert "VULNERABLE  pip 1.0: PYSEC-1, PYSEC-2" in str(found)


def test_an_audit_that_cannot_work_says_why(tmp_path: Path) -> None:
    found = audit.audit(tmp_path / "absent.lock")
    assert found.code == audit.NOT_AUDITED
    assert "nothing was audited" in str(found)


def test_an_unknown_word_is_answered_by_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["buy"]) == 2
    assert "lock | audit | sbom | pin-images" in capsys.readouterr().err
