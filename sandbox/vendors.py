"""The vendors that there is a sandbox of."""

from __future__ import annotations

from fieldwarden.sandbox.frame.faults import SandboxRefused
from fieldwarden.sandbox.frame.vendor import Vendor
from fieldwarden.sandbox.hubspot.vendor import HubSpot
from fieldwarden.sandbox.netsuite.vendor import NetSuite
from fieldwarden.sandbox.quickbooks.vendor import QuickBooks
from fieldwarden.sandbox.salesforce.vendor import Salesforce
from fieldwarden.sandbox.sap.vendor import Sap
from fieldwarden.sandbox.stripe.vendor import Stripe

VENDORS: dict[str, type[Vendor]] = {
    each.name: each for each in (Stripe, HubSpot, QuickBooks, NetSuite, Sap, Salesforce)
}


def vendor(name: str) -> type[Vendor]:
    """Raises SandboxRefused, which names those that there are."""
    if name not in VENDORS:
        raise SandboxRefused(f"there is no sandbox of {name!r}", suggestion=f"there is one of {', '.join(VENDORS)}")
    return VENDORS[name]
