"""What SAP's entities are made of that nobody told."""

from __future__ import annotations

from decimal import Decimal

from fieldwarden.sandbox.frame.exchange import NotPossible
from fieldwarden.sandbox.frame.names import company, mail, town
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.sap.books import Books


def sample(books: Books, table: str, number: int) -> Json:
    """Raises NotPossible."""
    if table == "BusinessPartner":
        term = company(number).split()[0].upper()
        return {"BusinessPartnerCategory": "2", "OrganizationBPName1": company(number), "SearchTerm1": term}
    partner = books.tables["BusinessPartner"].pick(number)
    if partner is None:
        raise NotPossible(f"{table} needs a business partner first")
    if table == "BusinessPartnerAddress":
        city, postal_code, country = town(number)
        place = {"CityName": city, "PostalCode": postal_code, "Country": country, "EmailAddress": mail(number)}
        return {"BusinessPartner": partner.key, **place}
    if table == "SalesOrder":
        item = {"Material": "TG11", "RequestedQuantity": "2", "NetAmount": f"{100 + number}.50"}
        told = {"SalesOrderType": "OR", "SoldToParty": partner.key, "TransactionCurrency": "EUR"}
        return {**told, "to_Item": [item]}
    if table == "BillingDocument":
        net = Decimal(100 + number)
        amounts = {
            "TotalNetAmount": net,
            "TotalTaxAmount": net * Decimal("0.19"),
            "TotalGrossAmount": net * Decimal("1.19"),
        }
        told = {"BillingDocumentType": "F2", "SoldToParty": partner.key, "PayerParty": partner.key}
        return {**told, "TransactionCurrency": "EUR", "AccountingPostingStatus": "C", **amounts}
    raise NotPossible(f"{table} are not made in bulk")
