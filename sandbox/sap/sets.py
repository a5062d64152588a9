"""SAP's entity sets: which properties each has, what may be written, what hangs below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Set:
    """`name` is the V4 name; V2 calls it A_`name`. Properties by what they hold: text, date, time, number, flag.
    `below` are the sets whose entities belong to one of this, by navigation."""

    name: str
    key: tuple[str, ...]
    properties: Mapping[str, str]
    fixed: frozenset[str]
    v2: str
    v4: str
    first: str = ""
    """The number before that of the first entity that is made."""
    below: Mapping[str, str] = field(default_factory=dict)
    verbs: frozenset[str] = frozenset({"POST", "PATCH"})


def _properties(texts: str, dates: str = "", numbers: str = "", flags: str = "", times: str = "") -> dict[str, str]:
    groups = {"text": texts, "date": dates, "time": times, "number": numbers, "flag": flags}
    return {name: kind for kind, names in groups.items() for name in names.split()}


_STAMPS = frozenset({"CreationDate", "CreatedByUser", "LastChangeDate", "LastChangedByUser", "LastChangeDateTime"})
_V4 = "/sap/opu/odata4/sap/{0}/srvd_a2x/sap/{0}/0001"
_V2 = "/sap/opu/odata/sap/"
SETS: Mapping[str, Set] = {
    each.name: each
    for each in (
        Set(
            "BusinessPartner",
            ("BusinessPartner",),
            _properties(
                "BusinessPartner Customer Supplier BusinessPartnerCategory BusinessPartnerFullName BusinessPartnerName "
                "BusinessPartnerGrouping OrganizationBPName1 FirstName LastName SearchTerm1 Industry CreatedByUser "
                "LastChangedByUser",
                "CreationDate LastChangeDate",
                flags="BusinessPartnerIsBlocked",
            ),
            _STAMPS | {"BusinessPartner", "Customer", "Supplier", "BusinessPartnerFullName", "BusinessPartnerName"},
            f"{_V2}API_BUSINESS_PARTNER_SRV",
            _V4.format("api_businesspartner"),
            "1000000",
            {"to_BusinessPartnerAddress": "BusinessPartnerAddress"},
        ),
        Set(
            "BusinessPartnerAddress",
            ("BusinessPartner", "AddressID"),
            _properties(
                "BusinessPartner AddressID CityName PostalCode StreetName HouseNumber Country Region EmailAddress"
            ),
            frozenset({"AddressID"}),
            f"{_V2}API_BUSINESS_PARTNER_SRV",
            _V4.format("api_businesspartner"),
            "20000",
            verbs=frozenset({"POST", "PATCH", "DELETE"}),
        ),
        Set(
            "SalesOrder",
            ("SalesOrder",),
            _properties(
                "SalesOrder SalesOrderType SalesOrganization DistributionChannel OrganizationDivision SoldToParty "
                "PurchaseOrderByCustomer TransactionCurrency CustomerPaymentTerms OverallSDProcessStatus CreatedByUser",
                "SalesOrderDate RequestedDeliveryDate CreationDate LastChangeDate",
                "TotalNetAmount",
                times="LastChangeDateTime",
            ),
            _STAMPS | {"SalesOrder", "TotalNetAmount", "OverallSDProcessStatus"},
            f"{_V2}API_SALES_ORDER_SRV",
            _V4.format("api_salesorder"),
            "4711",
            {"to_Item": "SalesOrderItem"},
            frozenset({"POST", "PATCH", "DELETE"}),
        ),
        Set(
            "SalesOrderItem",
            ("SalesOrder", "SalesOrderItem"),
            _properties("SalesOrder SalesOrderItem Material SalesOrderItemText", numbers="RequestedQuantity NetAmount"),
            frozenset({"SalesOrderItem"}),
            f"{_V2}API_SALES_ORDER_SRV",
            _V4.format("api_salesorder"),
            "0",
            verbs=frozenset({"POST", "PATCH", "DELETE"}),
        ),
        Set(
            "BillingDocument",
            ("BillingDocument",),
            _properties(
                "BillingDocument BillingDocumentType SoldToParty "
                "PayerParty TransactionCurrency AccountingPostingStatus "
                "AccountingDocument CancelledBillingDocument CreatedByUser",
                "BillingDocumentDate CreationDate LastChangeDate",
                "TotalNetAmount TotalTaxAmount TotalGrossAmount",
                "BillingDocumentIsCancelled",
                "LastChangeDateTime",
            ),
            _STAMPS,
            f"{_V2}API_BILLING_DOCUMENT_SRV",
            _V4.format("api_billingdocument"),
            "90000000",
            verbs=frozenset(),
        ),
    )
}
PARENTS = {child: each.name for each in SETS.values() for child in each.below.values()}
