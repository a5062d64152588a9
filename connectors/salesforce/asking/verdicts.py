"""What Salesforce's error codes come to, of a whole request and of one record in it. Pure.

Facts: Salesforce's REST API guide, "Status Codes and Error Responses"; SOAP API guide, "Core Data Types: StatusCode".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

Verdict = Literal["again", "busy", "duplicate", "missing", "refused", "rejected", "unfit", "login"]
"""again: the same later; busy: nothing for a while; duplicate: another row has that value; missing: there is no such
row; refused: a rule forbids it; rejected: bad data; unfit: a person has to mend rights or settings."""

_CODES: Final[Mapping[str, Verdict]] = {
    **dict.fromkeys(("UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION"), "again"),
    **dict.fromkeys(("REQUEST_LIMIT_EXCEEDED", "TXN_SECURITY_METERING_ERROR", "REQUEST_RUNNING_TOO_LONG"), "busy"),
    **dict.fromkeys(("INVALID_SESSION_ID", "INVALID_AUTH_HEADER"), "login"),
    **dict.fromkeys(("DUPLICATE_VALUE", "DUPLICATES_DETECTED"), "duplicate"),
    **dict.fromkeys(("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"), "missing"),
    **dict.fromkeys(
        (
            *("FIELD_CUSTOM_VALIDATION_EXCEPTION", "FIELD_FILTER_VALIDATION_EXCEPTION", "ENTITY_IS_LOCKED"),
            *("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER", "DELETE_FAILED"),
            "STORAGE_LIMIT_EXCEEDED",
        ),
        "refused",
    ),
    **dict.fromkeys(
        (
            *("INSUFFICIENT_ACCESS_OR_READONLY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "INVALID_TYPE"),
            *("INSUFFICIENT_ACCESS", "INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "API_DISABLED_FOR_ORG"),
        ),
        "unfit",
    ),
}  # fmt: skip


class Fault(NamedTuple):
    """One error: its code, the fields it is about, and Salesforce's own words, which may hold values."""

    code: str
    fields: tuple[str, ...]
    said: str

    @property
    def verdict(self) -> Verdict:
        """What it comes to; a code that is not known is bad data, for a person.

        >>> Fault("UNABLE_TO_LOCK_ROW", (), "").verdict, Fault("STRING_TOO_LONG", ("Phone",), "").verdict
        ('again', 'rejected')
        """
        if self.code == "INVALID_CROSS_REFERENCE_KEY" and self.fields:
            return "rejected"  # what a field refers to is not there; the row itself is
        return _CODES.get(self.code, "rejected")


def faults(told: Any) -> tuple[Fault, ...]:
    """The errors that an answer holds, of a request (`errorCode`) or of a record (`statusCode`).

    >>> faults([{"errorCode": "MALFORMED_QUERY", "message": "unexpected token"}])[0].code
    'MALFORMED_QUERY'
    """
    if not isinstance(told, Sequence) or isinstance(told, str):
        return ()
    return tuple(
        Fault(
            str(each.get("errorCode") or each.get("statusCode") or ""),
            tuple(str(name) for name in each.get("fields") or ()),
            str(each.get("message") or ""),
        )
        for each in told
        if isinstance(each, Mapping)
    )


def used(header: str) -> tuple[int, int] | None:
    """Requests of the last 24 hours and those that there may be, from `Sforce-Limit-Info`; None where it does not say.

    >>> used("api-usage=18/5000"), used("")
    ((18, 5000), None)
    """
    _, _, numbers = header.partition("api-usage=")
    done, _, allowed = numbers.partition(";")[0].partition("/")
    return (int(done), int(allowed)) if done.isdecimal() and allowed.isdecimal() else None
