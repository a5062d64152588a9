"""What Salesforce says when it does not do something: a list of `{"message": ..., "errorCode": ...}`."""

from __future__ import annotations

from fieldwarden.sandbox.frame.exchange import Answer, Call, Refused, read_json, told
from fieldwarden.sandbox.frame.records import Json


def one(code: str, message: str, *fields: str) -> Json:
    return {"message": message, "errorCode": code} | ({"fields": [*fields]} if fields else {})


def error(status: int, code: str, message: str, *fields: str) -> Answer:
    return told([one(code, message, *fields)], status)


def refused(code: str, message: str, *fields: str, status: int = 400) -> Refused:
    return Refused(error(status, code, message, *fields))


def read(call: Call) -> Json:
    """The object that a body is. Raises Refused."""
    try:
        given = read_json(call.body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise refused("JSON_PARSER_ERROR", "the body is no JSON object")
    return given
