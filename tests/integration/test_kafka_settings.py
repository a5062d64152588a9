"""`kafka:` as connectors are given it: references followed, files found, defaults filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldwarden.connectors.debezium.kafka.access import Endpoint, KafkaAccess
from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.operations.kinds.kafka_access import NoKafka
from fieldwarden.operations.project import Opened
from fieldwarden.rules.loading import ReferenceUnresolved
from tests.unit.rules import projects, test_debezium


def opened(folder: Path, environment: dict[str, str], files: dict[str, str] = test_debezium.SOUND) -> Opened:
    return Opened(projects.load(projects.write(folder, files), environment), None)


def test_references_are_followed_and_never_shown(tmp_path: Path) -> None:
    secrets = {"KAFKA": "a:1,b:2", "KAFKA_PASSWORD": "hunter2", "REGISTRY": "http://registry", "PW": "hunter3"}
    project = opened(tmp_path, secrets)
    kafka = project.kafka()
    assert kafka == KafkaAccess(
        Brokers("a:1,b:2", "sasl_ssl", "SCRAM-SHA-512", "fieldwarden", "hunter2"),
        group="fieldwarden.shop",
        connect=Endpoint("http://connect:8083"),
        registry=Endpoint("http://registry"),
    )
    assert "hunter2" not in repr(kafka)
    assert project.connect_dsn("crm").reveal() == "postgresql://app:hunter3@db/crm"


@pytest.mark.parametrize("login", ["me:hunter2@", "hunter2@"])
def test_a_login_inside_an_address_that_is_referred_to_is_refused_and_not_shown(tmp_path: Path, login: str) -> None:
    project = opened(tmp_path, {"KAFKA": "a:1", "KAFKA_PASSWORD": "x", "REGISTRY": f"http://{login}registry"})
    with pytest.raises(EnvironmentUnfit) as error:
        project.kafka()
    assert "as username and password" in error.value.suggestion
    assert "hunter2" not in f"{error.value!r} {error.value} {error.value.suggestion}"


def test_a_reference_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReferenceUnresolved) as error:
        opened(tmp_path, {"KAFKA": "a:1", "REGISTRY": "x"}).kafka()
    assert (error.value.message, error.value.path) == (
        "environment variable KAFKA_PASSWORD is not set",
        "fieldwarden.yaml: kafka.password",
    )


def test_a_project_without_kafka_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoKafka):
        opened(tmp_path, {}, projects.FILES).kafka()
