"""What an answer means that is not what was asked for: one table, the vendor's own rules before HTTP's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from fieldwarden.connectors.rest.description import ErrorRule
from fieldwarden.connectors.rest.moments import SECOND, moment

Meaning = Literal["fine", "retry", "busy", "rebaseline", "halt", "gone", "login"]
_AGAIN = frozenset({408, 425, 500, 502, 504})
_BUSY = frozenset({429, 503})


_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?").fullmatch
LONGEST_PAUSE = 86_400.0
"""Seconds that a vendor is left alone at a time, whatever it says: then it is asked once more."""


class Judged(NamedTuple):
    """`because` is what a person is told to do, where the vendor's file says it."""

    meaning: Meaning
    because: str = ""


def judge(status: int, answer: Any, rules: Sequence[ErrorRule]) -> Judged:
    """`answer` is the decoded body, None where it is no JSON. A rule that names no status speaks of every one: a vendor
    may answer 200 and say inside that it failed.

    >>> judge(200, {}, ()).meaning, judge(503, None, ()).meaning, judge(404, None, ()).meaning
    ('fine', 'busy', 'gone')
    >>> fault = ErrorRule.model_validate({"when": "@.Fault", "do": "retry"})
    >>> judge(200, {"Fault": {}}, [fault]).meaning
    'retry'
    """
    for rule in rules:
        if (rule.http is None or status in rule.http) and (rule.when is None or rule.when.holds(answer)):
            return Judged(rule.do, rule.because or "")
    if 200 <= status < 300:
        return Judged("fine")
    if status in _BUSY:
        return Judged("busy")
    if status in _AGAIN or status > 504:
        return Judged("retry")
    if status == 401:
        return Judged("login", "make a new one there, or mend what this system's file says of it")
    if status == 404:
        return Judged("gone")
    if status == 410:
        return Judged("rebaseline")
    if 300 <= status < 400:
        return Judged("halt", "it answers with a redirect, which is not followed: correct url:")
    return Judged("halt", "see what the login may read there (its scopes), and what url: and values: say")


def pause_asked(header: str, now: int) -> float | None:
    """The seconds for which a header Retry-After asks, given as such or as a date, at most LONGEST_PAUSE; None where it
    says nothing that can be read. `now` is the vendor's time.

    >>> pause_asked("2.5", 0), pause_asked("Thu, 01 Jan 1970 00:01:00 GMT", 20 * SECOND), pause_asked("soon", 0)
    (2.5, 40.0, None)
    """
    text = header.strip()
    if _SECONDS(text):
        return min(float(text), LONGEST_PAUSE)
    try:
        return min(max(0.0, (moment(text, "http_date") - now) / SECOND), LONGEST_PAUSE)
    except (ValueError, OverflowError, IndexError, TypeError):  # what the library raises for dates that are none
        return None
