"""Whose keys a reader may not see: those of rows in whose key a personal value stands, however it comes there."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from fieldwarden.engine.hub.asking import MASK, Mask
from fieldwarden.engine.hub.names import RowNames, name_in
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.rulebook import Rulebook

CUSTOMER = {
    "entity": "customer",
    "identity": {"match": ["tax_id"]},
    "defaults": {"strategy": "source_priority", "order": ["crm"]},
    "fields": {
        "name": {"type": "text"},
        "tax_id": {"type": "text"},
        "email": {"type": "text", "class": "personal"},
        "phone": {"type": "text"},
    },
}
ORDER = {
    "entity": "purchase",
    "identity": {"match": []},
    "defaults": {"strategy": "source_priority", "order": ["crm"]},
    "fields": {
        "customer": {"type": "ref(customer)"},
        "number": {"type": "text"},
        "contact": {"type": "text", "class": "personal"},
    },
}


ROOT = {"entity": "customer", "key": "mail", "fields": {"email": "mail", "name": "name"}}
SURROGATE = {"entity": "customer", "key": "id", "fields": {"email": "mail", "name": "name"}}
CHILD = {"entity": "customer", "key": ["of", "n"], "parent": {"root": "of"}, "fields": {"phone": "phone"}}
PURCHASE = {"entity": "purchase", "key": ["by", "n"], "fields": {"customer": "by", "number": "n"}}
SHARED = {"table": "public.shared", "entity": "customer"}


def rules(**streams: object) -> Rulebook:
    system = {"system": "crm", "connector": {"kind": "postgres", "dsn": "service=crm"}, "streams": streams}
    return rulebook_from_documents([CUSTOMER, ORDER], [system])


@pytest.mark.parametrize(
    ("streams", "stream", "hidden"),
    [
        ({"root": ROOT}, "root", True),
        ({"root": {**ROOT, "fields": {"email": "lower(mail)", "name": "name"}}}, "root", True),
        ({"root": {**ROOT, "key": "Email", "fields": {"name": "name"}}}, "root", True),
        ({"root": SURROGATE}, "root", False),
        ({"root": ROOT, "child": CHILD}, "child", True),
        ({"root": SURROGATE, "child": CHILD}, "child", False),
        ({"root": ROOT, "order": PURCHASE}, "order", True),
        ({"root": SURROGATE, "order": PURCHASE}, "order", False),
        ({"root": ROOT}, "of no rule any more", True),
    ],
)
def test_a_key_is_hidden_where_it_holds_a_personal_value(streams: dict[str, object], stream: str, hidden: bool) -> None:
    book = rules(**streams)
    assert Mask(book).key("crm", stream, "jane@x") == (MASK if hidden else "jane@x")
    assert Mask(book, unmask=True).key("crm", stream, "jane@x") == "jane@x"
    named = Mask(book, naming=RowNames(b"k" * 32).of).key("crm", stream, "jane@x")
    assert (name_in(named) is not None) == hidden
    assert Mask(book, naming=RowNames(b"k" * 32).of).key("crm", stream, "") == "", "no key is nobody's"


def test_a_column_is_as_personal_in_one_stream_of_a_table_as_in_another() -> None:
    half = {**SHARED, "key": "a", "where": "k = 'x'", "fields": {"name": "b"}}
    other = {**SHARED, "entity": "purchase", "key": "a", "where": "k = 'y'", "fields": {"contact": "a"}}
    book = rules(half=half, other=other)
    assert Mask(book).key("crm", "half", "jane@x") == MASK


def test_a_row_is_always_called_the_same_and_no_two_rows_alike() -> None:
    names, others = RowNames(b"k" * 32), RowNames(b"l" * 32)
    called = names.of("crm", "s", "jane@x")
    assert called == names.of("crm", "s", "jane@x")
    assert (
        len({called, names.of("crm", "s", "joe@x"), names.of("crm", "t", "jane@x"), others.of("crm", "s", "jane@x")})
        == 4
    )
    assert "jane" not in called


def test_a_name_is_hmac_written_out() -> None:
    names = RowNames(b"k" * 32)
    inner, outer = names.pads("crm", "s")
    written_out = hashlib.sha256(outer + hashlib.sha256(inner + b"jane@x").digest()).hexdigest()
    assert written_out == hmac.new(b"k" * 32, b"crm\0s\0jane@x", "sha256").hexdigest()
    assert name_in(names.of("crm", "s", "jane@x")) == written_out[:10]


@pytest.mark.parametrize("text", ["•••", "jane@x", "•••0a1b2c3d4", "•••0a1b2c3d4e5", "•••0A1B2C3D4E", "x•••0a1b2c3d4e"])
def test_what_is_no_name_is_a_key(text: str) -> None:
    assert name_in(text) is None


@pytest.mark.parametrize("text", ["•••0a1b2c3d4e", "crm:•••0a1b2c3d4e", "crm:public.account:•••0a1b2c3d4e"])
def test_a_name_may_say_whose_it_is(text: str) -> None:
    assert name_in(text) == "0a1b2c3d4e"
