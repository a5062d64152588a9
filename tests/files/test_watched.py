"""What Prometheus and Grafana watch and draw of a deployment is there, and says what is the matter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldwarden.engine.running.telemetry import Telemetry
from tests.files.deployed import DEPLOY, ROOT, SERVICES, read


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
    from fieldwarden.engine.running.telemetry import STATES

    for title, expression in expressions():
        for words in re.findall(r'state=~?"([^"]+)"', expression):
            assert set(words.split("|")) <= set(STATES), title


def test_what_an_alert_waits_for_is_shown_before_it_happens() -> None:
    """Prometheus sees nothing rise where the first that it is shown is 1."""
    telemetry = Telemetry()
    telemetry.connector_state("source", "crm", "new")
    found = (re.search(r"increase\((\w+)\[\w+\]\)\) > 0$", expression) for _, expression in expressions())
    watched = {match[1] for match in found if match}
    samples = [sample for family in telemetry.registry.collect() for sample in family.samples]
    shown = {sample.name for sample in samples if sample.labels.get("system") == "crm" and sample.value == 0}
    assert watched
    assert watched - shown == set()


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
