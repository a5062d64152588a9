"""What a vendor's file may say, and where each of its mistakes is pointed at."""

from __future__ import annotations

import pytest

from fieldwarden.connectors.rest.description import Vendor
from fieldwarden.connectors.rest.vendors import shipped, shipped_vendor, vendor_in
from fieldwarden.rules.errors import ConfigurationError
from fieldwarden.rules.schema import schema_of

SHOP = """\
vendor: shop
title: A shop
url: https://shop.example
values:
  tenant: {description: The tenant's id.}
auth: {kind: token}
objects:
  customer:
    key: id
    columns:
      id: id
      name: name
      city: {place: address.city}
    modified: {place: updated}
    all:
      request: {path: /customers, query: {limit: "{size}"}}
      records: {path: "$.data[*]"}
      page: {kind: token, size: 100, next: $.next, query: {after: "{token}"}}
    changes:
      cursor: {kind: time_window}
      request: {path: /customers, query: {since: "{since}", until: "{until}", limit: "{size}"}}
    one:
      request: {path: "/customers/{key}"}
      records: {path: $}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        vendor_in("shop.yaml", text.encode())
    return [str(problem) for problem in error.value.problems]


def test_a_file_without_mistakes_is_a_vendor() -> None:
    vendor = vendor_in("shop.yaml", SHOP.encode())
    assert vendor.objects["customer"].changed.page == vendor.objects["customer"].all.page
    assert vendor.objects["customer"].shape["city"].place.of({"address": {"city": "Ulm"}}) == "Ulm"


@pytest.mark.parametrize("name", shipped())
def test_the_vendors_that_come_along_have_no_mistakes(name: str) -> None:
    vendor = shipped_vendor(name)
    assert vendor is not None
    assert vendor.vendor == name


def test_there_is_no_vendor_of_another_name() -> None:
    assert shipped_vendor("../vendors/stripe") is None


MISTAKES = [
    ("key: id\n", "key: number\n", "shop.yaml:9:10: the key's column 'number' is not among the columns"),
    ("    modified:", "    modifed:", "shop.yaml:14:5: unknown key 'modifed' (did you mean 'modified'?)"),
    ("    modified: {place: updated}", "    newer_by: modified", "shop.yaml:14:15: newer_by: modified needs to know"),
    ('"$.data[*]"', '"$.data[*"', "shop.yaml:17:23: 'path': not a JSONPath (RFC 9535)"),
    ("$.next", "next", "shop.yaml:18:44: 'next': not a JSONPath (RFC 9535)"),
    ("place: address.city", "place: address..city", "shop.yaml:13:21: 'place': a place in a record is names"),
    ('after: "{token}"', 'after: "{tokens}"', "shop.yaml:18:59: {tokens} means nothing here (did you mean 'token'?)"),
    (', query: {after: "{token}"}', "", "shop.yaml:18:13: every page would be the first: {token} is not asked for"),
    ('since: "{since}", ', "", "shop.yaml:21:16: changes of a time_window are asked for from {since}"),
    ("kind: time_window}", "kind: time_windows}", "shop.yaml:20:22: 'kind' must be time_window or delta_link"),
    ("kind: time_window}", "kind: time_window, overlap: 60}", "shop.yaml:20:44: 'overlap': a length of time is"),
    ('"/customers/{key}"', "/customers", "shop.yaml:23:16: the request of one row does not say which"),
    ('"/customers/{key}"', "customers", "shop.yaml:23:23: 'path': a path begins with one /"),
    ("kind: time_window}", "kind: delta_link, next: $.d}", "shop.yaml:21:16: what follows a delta_link has no request"),
    ("kind: time_window}", "kind: delta_token, next: $.d}", "shop.yaml:21:16: changes since a delta_token are asked"),
    ("kind: token, size", "kind: offset, size", "shop.yaml:18:39: unknown key 'next'"),
    ("  tenant:", "  since:", "shop.yaml:5:10: {since} already means something in requests"),
    ("auth: {kind: token}", "auth: {kind: token}\nlimits: {rates: 5 a day}", "shop.yaml:7:17: 'rates': a rate is a"),
    ("auth: {kind: token}", "auth: {kind: token}\nerrors: [{do: retry}]", "shop.yaml:7:10: an error is known by"),
]


@pytest.mark.parametrize(("given", "mistake", "said"), MISTAKES, ids=[said for _, _, said in MISTAKES])
def test_a_mistake_is_pointed_at(given: str, mistake: str, said: str) -> None:
    assert given in SHOP
    found = problems(SHOP.replace(given, mistake))
    assert any(each.startswith(said) for each in found), found


def test_a_tombstone_has_to_give_as_many_parts_as_the_key_has() -> None:
    delete = '    delete: {kind: tombstone, when: "@.removed", key: ref, pattern: "(.+)/(.+)"}\n'
    assert problems(SHOP + delete) == ["shop.yaml:25:69: a key of 1 parts is read by as many groups"]


def test_a_pattern_is_a_regular_expression() -> None:
    delete = '    delete: {kind: tombstone, when: "@.removed", key: ref, pattern: "(.+"}\n'
    (said,) = problems(SHOP + delete)
    assert "not a regular expression" in said


def test_the_schema_for_editors_describes_every_key() -> None:
    schema = schema_of(Vendor, "vendor")
    parts = [schema, *schema["$defs"].values()]
    described = [each for part in parts for each in part.get("properties", {}).items()]
    assert [name for name, each in described if "description" not in each and name != "kind"] == []
    assert all(part["additionalProperties"] is False for part in parts if "properties" in part)
