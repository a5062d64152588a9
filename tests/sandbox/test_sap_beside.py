"""The SAP sandbox beside mock-sap, which others wrote: both answer the same questions in the same shape."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fieldwarden.sandbox.sap.vendor import CLIENT, SECRET
from stack.process import free_port
from tests.patience import eventually
from tests.sandbox.playing import Played
from tests.sandbox.sap_client import ORDERS, ORDERS4, PARTNERS, PARTNERS4, TRACKED, Session

pytestmark = pytest.mark.long

PROGRAM = Path(sys.executable).with_name("mock-sap")
WORDS = {
    *("d", "results", "__metadata", "id", "uri", "type", "etag", "__count", "__deferred", "to_Item"),
    *("error", "code", "message", "lang", "value", "innererror", "errordetails", "severity"),
    *("@odata.context", "@odata.etag", "@odata.deltaLink", "@removed", "reason", "@id", "details", "target"),
}
"""What the protocol names; all else are properties."""
FORMS = {r"/Date\(\d+\)/": "time", r"\d{4}-\d\d-\d\dT[\d:.]+Z": "time", r"W/\".*\"": "etag", r"\d+\.\d+": "number"}


def shape(value: Any) -> Any:
    """The words of the protocol, and of what kind each value is; of a list its first, of properties those of both."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    if isinstance(value, str):
        return next((name for form, name in FORMS.items() if re.fullmatch(form, value)), "text")
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def common(one: Any, other: Any) -> tuple[Any, Any]:
    """Both without the properties that only one has; words of the protocol stay."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = {name for name in one.keys() | other.keys() if name in WORDS or (name in one and name in other)}
        names -= {each for each in names if "NoneType" in (one.get(each), other.get(each))}
        pairs = {name: common(one.get(name), other.get(name)) for name in names}
        return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}
    if isinstance(one, list) and isinstance(other, list) and one and other:
        left, right = common(one[0], other[0])
        return [left], [right]
    return one, other


@pytest.fixture(scope="module")
def theirs() -> Iterator[Session]:
    port = free_port()
    words = [str(PROGRAM), "--port", str(port), "--require-if-match", "--quiet"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: _answers(url), "mock-sap answers")
            session = Session(url)
            yield session
            session.http.close()
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_mock/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def ours(sap_sandbox: Played) -> Iterator[Session]:
    session = Session(sap_sandbox.url, (CLIENT, SECRET))
    yield session
    session.http.close()


def alike(one: httpx.Response, other: httpx.Response, *headers: str) -> None:
    assert one.status_code == other.status_code, (one.text, other.text)
    for name in headers:
        assert (name in one.headers, name in other.headers) == (True, True), name
    bodies = [json.loads(each.content) if each.content else None for each in (one, other)]
    left, right = common(*(shape(each) for each in bodies))
    assert left == right


def test_one_of_each_has_a_different_shape_than_the_other() -> None:
    """The comparison sees a difference where there is one."""
    left, right = common(shape({"d": {"A": "/Date(1)/"}}), shape({"d": {"A": "x"}}))
    assert left != right
    left, right = common(shape({"d": {"results": []}}), shape({"d": {}}))
    assert left != right


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (PARTNERS, {"$top": "1", "$inlinecount": "allpages"}),
        (PARTNERS, {"$top": "1", "$select": "BusinessPartner,LastChangeDate"}),
        (ORDERS, {"$top": "1", "$expand": "to_Item"}),
        (PARTNERS4, {"$top": "1"}),
        (ORDERS4, {"$top": "1"}),
        (ORDERS4, {"$filter": "foo eq 1"}),
        (f"{PARTNERS}('none')", {}),
        (f"{PARTNERS4}('none')", {}),
    ],
)
def test_what_is_read_is_alike(ours: Session, theirs: Session, path: str, query: dict[str, str]) -> None:
    one, other = (each.http.get(path, params=query) for each in (ours, theirs))
    alike(one, other, "content-type")


def test_a_write_without_a_token_is_refused_alike(ours: Session, theirs: Session) -> None:
    answers = [each.http.post(PARTNERS, json={}) for each in (ours, theirs)]
    alike(answers[0], answers[1], "x-csrf-token")
    assert {each.headers["x-csrf-token"] for each in answers} == {"Required"}


@pytest.mark.parametrize(
    ("path", "body"), [(PARTNERS, {"OrganizationBPName1": "A"}), (ORDERS4, {"SoldToParty": "1000006"})]
)
def test_what_is_made_is_told_alike(ours: Session, theirs: Session, path: str, body: Any) -> None:
    alike(ours.change("POST", path, body), theirs.change("POST", path, body), "location", "etag")


@pytest.mark.parametrize("match", ["", 'W/"x"', "*"])
@pytest.mark.parametrize("body", [{"SearchTerm1": "X"}, {"Colour": "red"}])
def test_a_change_is_guarded_alike(ours: Session, theirs: Session, match: str, body: Any) -> None:
    path = f"{PARTNERS}('1000001')"
    alike(ours.change("PATCH", path, body, match), theirs.change("PATCH", path, body, match))


def test_a_delta_with_a_deletion_is_alike(ours: Session, theirs: Session) -> None:
    answers = []
    for each in (ours, theirs):
        told = each.get(ORDERS4, TRACKED)
        path = f"{ORDERS4}('{told['value'][-1]['SalesOrder']}')"
        assert each.change("DELETE", path, match="*").status_code == 204
        answers.append(each.http.get(told["@odata.deltaLink"]))
    alike(answers[0], answers[1], "preference-applied")
    assert all(answer.json()["value"][-1]["@removed"] == {"reason": "deleted"} for answer in answers)
