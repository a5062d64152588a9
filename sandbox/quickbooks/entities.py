"""QuickBooks' entities: which fields each takes, which it makes itself, what has to be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

_SYSTEM = frozenset({"Id", "SyncToken", "MetaData", "domain", "sparse", "status"})
_ZONE = timezone(timedelta(hours=-8))


@dataclass(frozen=True, slots=True)
class Entity:
    """`own` are the fields that nobody writes: they are ignored where they are sent back. `name` has to be unique.
    A transaction can be deleted; what stands in a list is made inactive."""

    takes: frozenset[str]
    own: frozenset[str]
    needs: tuple[str, ...]
    name: str = ""
    transaction: bool = False

    def unknown(self, given: Mapping[str, object]) -> list[str]:
        return sorted(given.keys() - self.takes - self.own - _SYSTEM)

    @property
    def ignored(self) -> frozenset[str]:
        return self.own | _SYSTEM


def _entity(takes: str, own: str, needs: str, name: str = "", transaction: bool = False) -> Entity:
    return Entity(frozenset(takes.split()), frozenset(own.split()), tuple(needs.split()), name, transaction)


_SALE = (
    "AllowOnlineACHPayment AllowOnlineCreditCardPayment BillAddr BillEmail CurrencyRef CustomField CustomerMemo "
    "CustomerRef DocNumber DueDate EmailStatus ExchangeRate Line "
    "PrintStatus PrivateNote SalesTermRef ShipAddr TxnDate TxnTaxDetail"
)
_SOLD = "Balance TotalAmt LinkedTxn HomeTotalAmt"
ENTITIES: Mapping[str, Entity] = {
    "Customer": _entity(
        "Active BillAddr CompanyName CurrencyRef DisplayName FamilyName GivenName MiddleName Mobile Notes ParentRef "
        "PreferredDeliveryMethod PrimaryEmailAddr PrimaryPhone PrimaryTaxIdentifier PrintOnCheckName ResaleNum "
        "SalesTermRef ShipAddr Suffix Taxable Title WebAddr",
        "Balance BalanceWithJobs FullyQualifiedName Job BillWithParent V4IDPseudonym IsProject",
        "DisplayName",
        "DisplayName",
    ),
    "Item": _entity(
        "Active Description IncomeAccountRef Name ParentRef Sku Taxable Type UnitPrice PurchaseCost",
        "FullyQualifiedName TrackQtyOnHand",
        "Name Type",
        "Name",
    ),
    "Invoice": _entity(_SALE, _SOLD, "CustomerRef Line", "DocNumber", True),
    "CreditMemo": _entity(_SALE, f"{_SOLD} RemainingCredit", "CustomerRef Line", "DocNumber", True),
    "Payment": _entity(
        "CurrencyRef CustomerRef DepositToAccountRef ExchangeRate Line PaymentMethodRef PaymentRefNum PrivateNote "
        "TotalAmt TxnDate",
        "UnappliedAmt ProcessPayment",
        "CustomerRef TotalAmt",
        "",
        True,
    ),
}


def stamp(seconds: float) -> str:
    """Of MetaData: whole seconds, in the company's zone. `stamp(0)` -> "1969-12-31T16:00:00-08:00"."""
    return datetime.fromtimestamp(int(seconds), UTC).astimezone(_ZONE).isoformat()


def today(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).astimezone(_ZONE).date().isoformat()
