"""The page for people: what stands in records is shown and never run, and only its own form edits, as a person."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from tests.sandbox.playing import Played

EVIL = """</textarea><script>alert(1)</script><b onclick='x' title="y">&amp;"""


class Read(HTMLParser):
    """The names of all elements, all attributes, and the text between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page(played: Played, path: str) -> Read:
    answer = played.http.get(path)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return Read(answer.text)


def first(played: Played) -> str:
    return str(played.records("customers")[0]["id"])


def test_the_front_leads_to_every_table_and_every_table_to_its_records(stripe_sandbox: Played) -> None:
    links = [value for name, value in page(stripe_sandbox, "/").attributes if name == "href"]
    assert {"/_page/customers", "/_page/invoices", "/_page/requests"} <= {*links}
    records = [value for name, value in page(stripe_sandbox, "/_page/customers").attributes if name == "href"]
    assert f"/_page/customers/{first(stripe_sandbox)}" in records


@pytest.mark.parametrize("place", ["", "/KEY"])
def test_markup_in_a_value_is_shown_and_is_no_markup(stripe_sandbox: Played, place: str) -> None:
    stripe_sandbox.admin("POST", "records/customers", {"name": EVIL})
    key = stripe_sandbox.records("customers")[-1]["id"]
    read = page(stripe_sandbox, "/_page/customers" + place.replace("KEY", key))
    assert not {"script", "b"} & {*read.elements}
    assert "onclick" not in [name for name, _ in read.attributes]
    assert "</textarea><script>alert(1)" in read.text


def test_markup_in_a_request_is_shown_and_is_no_markup(stripe_sandbox: Played) -> None:
    stripe_sandbox.http.get("/v1/customers/<script>alert(1)</script>")
    stripe_sandbox.http.get("/<script>alert(1)</script>")
    assert "script" not in page(stripe_sandbox, "/_page/requests").elements


def save(played: Played, form: dict[str, str], **headers: str) -> Any:
    return played.http.post(f"/_page/customers/{first(played)}", data=form, headers=headers)


def test_an_edit_in_the_form_is_a_persons(stripe_sandbox: Played) -> None:
    path = f"/_page/customers/{first(stripe_sandbox)}"
    text = page(stripe_sandbox, path).text
    text = text[text.index('{\n  "id"') : text.rindex("}") + 1]
    answer = save(stripe_sandbox, {"record": text.replace("Alder Analytics GmbH", "Ålder & Co"), "do": "save"})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert stripe_sandbox.records("customers")[0]["name"] == "Ålder & Co"
    [event] = stripe_sandbox.records("events")
    assert event["data"]["previous_attributes"] == {"name": "Alder Analytics GmbH"}
    assert event["request"]["id"] is None


def test_the_actions_of_a_record_are_buttons(stripe_sandbox: Played) -> None:
    key = next(each["id"] for each in stripe_sandbox.records("invoices") if each["status"] == "open")
    stripe_sandbox.http.post(f"/_page/invoices/{key}", data={"do": "void"})
    assert "void" in [value for name, value in page(stripe_sandbox, f"/_page/invoices/{key}").attributes]
    assert next(each["status"] for each in stripe_sandbox.records("invoices") if each["id"] == key) == "void"


def test_a_record_is_deleted_by_its_button(stripe_sandbox: Played) -> None:
    key = first(stripe_sandbox)
    save(stripe_sandbox, {"do": "delete"})
    assert "deleted" in page(stripe_sandbox, f"/_page/customers/{key}").text
    assert key not in [each["id"] for each in stripe_sandbox.records("customers")]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"record": "{", "do": "save"}, "Expecting property name"),
        ({"record": "[]", "do": "save"}, "a record is a JSON object"),
        ({"record": '{"created": 1}', "do": "save"}, "unknown parameter: created"),
        ({"do": "explode"}, "no action 'explode'"),
    ],
)
def test_what_cannot_be_saved_is_said(stripe_sandbox: Played, form: dict[str, str], said: str) -> None:
    answer = save(stripe_sandbox, form)
    assert answer.status_code == 400
    assert said in Read(answer.text).text


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
def test_another_sites_page_changes_nothing(stripe_sandbox: Played, headers: dict[str, str]) -> None:
    assert save(stripe_sandbox, {"do": "delete"}, **headers).status_code == 403
    answer = stripe_sandbox.http.post("/_sandbox/reset", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert stripe_sandbox.records("events") == []


@pytest.mark.parametrize("path", ["/_page/clients", "/_page/customers/none", "/_page/customers?before=none"])
def test_what_is_not_there_is_said(stripe_sandbox: Played, path: str) -> None:
    assert stripe_sandbox.http.get(path).status_code == 404
