"""Stripe's own client library speaks to the sandbox: it reads what the sandbox means, and the sandbox what it means."""

from __future__ import annotations

import json

import pytest
import stripe

from fieldwarden.sandbox.stripe.vendor import Stripe
from tests.sandbox.inbox import Inbox
from tests.sandbox.playing import Played

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _its_clock_is_the_clients(stripe_sandbox: Played) -> None:
    """The client refuses webhooks of another time."""
    stripe_sandbox.admin("POST", "clock", {"follow": True})


@pytest.fixture
def client(stripe_sandbox: Played) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_one",
        base_addresses={"api": stripe_sandbox.url},
        http_client=stripe.RequestsClient(),
        max_network_retries=0,
    )


def test_a_customer_is_created_retrieved_and_deleted(client: stripe.StripeClient) -> None:
    made = client.v1.customers.create({"name": "Brücke AG", "metadata": {"erp_id": "C1"}, "address": {"city": "Köln"}})
    found = client.v1.customers.retrieve(made.id)
    assert (found.name, found.metadata["erp_id"] if found.metadata else "") == ("Brücke AG", "C1")
    assert found.address is not None
    assert found.address.city == "Köln"
    client.v1.customers.delete(made.id)
    assert client.v1.customers.retrieve(made.id).deleted is True


def test_auto_paging_meets_every_customer_once_newest_first(
    client: stripe.StripeClient, stripe_sandbox: Played
) -> None:
    page = client.v1.customers.list({"limit": 4})
    assert page.has_more
    met = [each.id for each in page.auto_paging_iter()]
    assert met == [each["id"] for each in reversed(stripe_sandbox.records("customers"))]


def test_auto_paging_meets_every_v2_event_once(client: stripe.StripeClient) -> None:
    made = [client.v1.customers.create({"name": f"C{number}"}).id for number in range(7)]
    met = [*client.v2.core.events.list({"limit": 3}).auto_paging_iter()]
    assert [each.to_dict()["related_object"]["id"] for each in met] == made[::-1]
    assert {each.type for each in met} == {"v1.customer.created"}


def test_its_errors_are_the_clients_errors(client: stripe.StripeClient, stripe_sandbox: Played) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.customers.retrieve("cus_none")
    assert missing.value.code == "resource_missing"
    stripe_sandbox.arm("throttle")
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.list()
    stripe_sandbox.arm("revoked_token")
    with pytest.raises(stripe.AuthenticationError):
        client.v1.customers.list()
    stripe_sandbox.arm("missing_scope")
    with pytest.raises(stripe.PermissionError):
        client.v1.customers.list()
    stripe_sandbox.arm("lost_answer")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({"name": "Lost"})
    assert [each["name"] for each in stripe_sandbox.records("customers")].count("Lost") == 1


def test_the_client_tries_a_lost_answer_again_under_its_key_and_nothing_is_done_twice(stripe_sandbox: Played) -> None:
    patient = stripe.StripeClient("sk_test_one", base_addresses={"api": stripe_sandbox.url}, max_network_retries=2)
    stripe_sandbox.arm("lost_answer")
    made = patient.v1.customers.create({"name": "Once"})
    assert [each["id"] for each in stripe_sandbox.records("customers") if each["name"] == "Once"] == [made.id]


def test_an_invoice_is_drafted_finalized_and_paid(client: stripe.StripeClient, stripe_sandbox: Played) -> None:
    customer = stripe_sandbox.records("customers")[0]["id"]
    draft = client.v1.invoices.create({"customer": customer, "currency": "eur"})
    client.v1.invoice_items.create({"customer": customer, "invoice": draft.id, "amount": 4200, "currency": "eur"})
    opened = client.v1.invoices.finalize_invoice(draft.id)
    assert (opened.status, opened.total, bool(opened.number)) == ("open", 4200, True)
    paid = client.v1.invoices.pay(draft.id)
    assert (paid.status, paid.amount_remaining) == ("paid", 0)
    assert [each.amount for each in client.v1.invoices.line_items.list(draft.id).auto_paging_iter()] == [4200]
    payments = client.v1.invoice_payments.list({"invoice": draft.id}).data
    assert [each.amount_paid for each in payments] == [4200]


def test_the_client_believes_the_webhooks_of_both_secrets_and_no_others(stripe_sandbox: Played, inbox: Inbox) -> None:
    stripe_sandbox.admin("POST", "hooks", {"url": inbox.url})
    stripe_sandbox.admin("POST", "hooks", {"roll": "whsec_new"})
    customer = stripe_sandbox.records("customers")[0]["id"]
    stripe_sandbox.admin("PATCH", f"records/customers/{customer}", {"name": "Zoë & Søn"})
    stripe_sandbox.hooks_sent()
    [(body, headers)] = inbox.taken
    signature = headers["stripe-signature"]
    for secret in (Stripe.secret, "whsec_new"):
        event = stripe.Webhook.construct_event(body, signature, secret)
        assert event.type == "customer.updated"
        assert json.loads(body)["data"]["object"]["name"] == "Zoë & Søn"
    for wrong in ((body, signature, "whsec_other"), (json.dumps(json.loads(body)).encode(), signature, "whsec_new")):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(*wrong)


@pytest.mark.parametrize("fault", ["hook_signature", "wrong_clock"])
def test_the_client_refuses_webhooks_that_a_fault_spoiled(stripe_sandbox: Played, inbox: Inbox, fault: str) -> None:
    stripe_sandbox.admin("POST", "hooks", {"url": inbox.url})
    stripe_sandbox.arm(fault)
    stripe_sandbox.admin("POST", "records/customers", {"name": "One"})
    stripe_sandbox.admin("POST", "records/customers", {"name": "Two"})
    stripe_sandbox.hooks_sent()
    (body, signature), good = [(body, headers["stripe-signature"]) for body, headers in inbox.taken]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, Stripe.secret)
    assert stripe.Webhook.construct_event(*good, Stripe.secret).data.object["name"] == "Two"
