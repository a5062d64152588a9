"""What QuickBooks says when it does not do something: a Fault with a code; another form of it from its gateway."""

from __future__ import annotations

from fieldwarden.sandbox.frame.exchange import Answer, Refused, told
from fieldwarden.sandbox.frame.records import Json

_KNOWN = {
    "610": "Object Not Found",
    "2010": "Request has invalid or unsupported property",
    "2020": "Required param missing, need to supply the required value for the API",
    "2500": "Invalid Reference Id",
    "4000": "Error parsing query",
    "5010": "Stale Object Error",
    "6000": "A business validation error has occurred while processing your request",
    "6140": "Duplicate Document Number Error",
    "6210": "Account Period Closed, Cannot Update Through Services API",
    "6240": "Duplicate Name Exists Error",
}


def fault(code: str, detail: str, element: str = "") -> Json:
    error = {"Message": _KNOWN[code], "Detail": detail, "code": code, "element": element}
    return {"Error": [error], "type": "ValidationFault"}


def refused(code: str, detail: str, element: str = "", time: str = "") -> Refused:
    return Refused(told({"Fault": fault(code, detail, element), "time": time}, 400))


def gateway(status: int, what: str, code: str, kind: str, detail: str = "") -> Answer:
    """What comes before the books are reached has names in small letters."""
    said = f"message={what}; errorCode={code.zfill(6)}; statusCode={status}"
    error = {"message": said, "detail": detail or said, "code": code, "element": None}
    return told({"warnings": None, "intuitObject": None, "fault": {"error": [error], "type": kind}}, status)
