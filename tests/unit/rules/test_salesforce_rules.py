"""What `validate` says of systems of kind salesforce."""

from __future__ import annotations

from typing import Any

import pytest

from fieldwarden.rules.errors import ConfigurationError
from fieldwarden.rules.kinds import BUILT_IN, SALESFORCE
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.salesforce import PUBSUB, salesforce_settings
from tests.builders import BILLING, CUSTOMER, ERP, RANKS

CONNECTOR = {
    "kind": "salesforce",
    "url": "https://example.my.salesforce.com",
    "client_id": "3MVG9",
    "client_secret": "${env:SECRET}",
}
ACCOUNT = {"entity": "customer", "key": "Id", "external_id": "Ext__c", "create": True, "fields": {"name": "Name"}}


def loaded(connector: dict[str, Any] | None = None, without: str = "", **more: Any) -> Rulebook:
    account = {name: value for name, value in {**ACCOUNT, **more}.items() if name != without}
    crm = {"system": "crm", "connector": {**CONNECTOR, **(connector or {})}, "streams": {"Account": account}}
    kinds = {**BUILT_IN, "salesforce": SALESFORCE}
    return rulebook_from_documents([CUSTOMER], [crm, BILLING, ERP], {}, RANKS, kinds=kinds)


def problems(**more: Any) -> str:
    with pytest.raises(ConfigurationError) as error:
        loaded(**more)
    return str(error.value)


def test_an_org_is_reached_by_its_own_address() -> None:
    settings = salesforce_settings(loaded().systems["crm"])
    assert (settings.pubsub, settings.plain) == (PUBSUB, False)


def test_a_sandbox_on_this_machine_is_reached_without_tls() -> None:
    assert salesforce_settings(loaded(connector={"pubsub": "127.0.0.1:7011"}).systems["crm"]).plain


def test_no_secret_is_shown() -> None:
    assert "SECRET" not in repr(loaded().systems["crm"].settings)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"key": "Name"}, "a record of Salesforce is known by its Id"),
        ({"without": "external_id"}, "a record that is created has to carry its id"),
        ({"table": "public.account"}, "'public.account' is no object of Salesforce's"),
        ({"on_write": {"LastModifiedDate": "now()"}}, "Salesforce itself says when a record was changed"),
    ],
)
def test_what_an_org_cannot_do_is_an_error_of_its_file(more: dict[str, Any], said: str) -> None:
    assert said in problems(**more)


@pytest.mark.parametrize("address", ["api.pubsub.salesforce.com", "https://x:1", "x:y"])
def test_an_address_of_the_bus_that_is_none(address: str) -> None:
    assert "HOST:PORT" in problems(connector={"pubsub": address})
