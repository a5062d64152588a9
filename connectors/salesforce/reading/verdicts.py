"""What an error of the Pub/Sub API comes to. Pure.

The status alone says little: one status stands for errors that want opposite things. So the code in the trailers is
read first, and the status only where there is none. Facts: Salesforce's "Handle Errors" and "Retry Long-Lived RPC Calls
After an Error Occurs".
"""

from __future__ import annotations

from typing import Final, Literal

from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, SourceGap, TransientError

Verdict = Literal["again", "login", "rest", "gap", "unfit"]
"""again: subscribe anew, at once; login: with a new token; rest: not for a while; gap: what follows our replay id is
gone; unfit: a person has to mend something."""

PREFIX: Final = "sfdc.platform.eventbus.grpc."
_TABLE: Final[dict[str, Verdict]] = {
    "subscription.fetch.replayid.corrupted": "gap",
    "subscription.fetch.replayid.validation.failed": "gap",
    "service.auth.error": "login",
    "service.auth.refresh.invalid": "login",
    "service.protection.stream.limit.triggered": "rest",
    "service.protection.triggered": "rest",
    "concurrent.client.limit.exceeded": "rest",
    "subscription.limit.exceeded": "rest",
    "service.auth.headers.invalid": "unfit",
    "service.tenant.license": "unfit",
    "topic.not.found": "unfit",
    "topic.meta.permission": "unfit",
    "topic.validation.empty": "unfit",
    "schema.meta.permission": "unfit",
    "schema.validation.failed": "unfit",
    "subscription.topic.cannot.subscribe": "unfit",
}
_BY_STATUS: Final[dict[str, Verdict]] = {
    "UNAUTHENTICATED": "login",
    "PERMISSION_DENIED": "unfit",
    "NOT_FOUND": "unfit",
    "INVALID_ARGUMENT": "unfit",
    "UNIMPLEMENTED": "unfit",
    "RESOURCE_EXHAUSTED": "rest",
}
_ADVICE: Final = {
    "topic.not.found": "enable Change Data Capture for the object in Salesforce's Setup, or mend the stream's `table`",
    "subscription.topic.cannot.subscribe": "let the user read the object and all of its fields (View All)",
    "service.tenant.license": "have Salesforce enable the Pub/Sub API for the org",
    "subscription.limit.exceeded": "the org's events of 24 hours are used up: wait, or end other subscribers",
    "concurrent.client.limit.exceeded": "end other subscribers of the org",
}
_FIRST, _LIMIT = 0.5, 30.0


def judge(status: str, code: str) -> Verdict:
    """By the name of the status, and the code in the trailers ("" where there is none).

    >>> judge("INVALID_ARGUMENT", "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.corrupted")
    'gap'
    >>> judge("UNAVAILABLE", ""), judge("INTERNAL", "sfdc.platform.eventbus.grpc.service.auth.error")
    ('again', 'login')
    """
    return _TABLE.get(code.removeprefix(PREFIX)) or _BY_STATUS.get(status, "again")


def error(system: str, topic: str, status: str, code: str, rpc: str) -> EngineError:
    """The error that is raised where nothing more can be tried here. It names the code and Salesforce's id of the call,
    and none of its words, which may hold anything."""
    short = code.removeprefix(PREFIX)
    said = short or status
    trace = f" (rpcId {rpc})" if rpc else ""
    match judge(status, code):
        case "gap":
            return SourceGap(
                f"{system}: Salesforce does not keep what follows our place on {topic} any more ({said}){trace}",
                suggestion="its rows have to be read again: run with --rebaseline, or set on_gap: rebaseline",
                path=topic,
                safe=True,
            )
        case "unfit" | "login":
            advice = _ADVICE.get(short, "look at the user, its rights and its connected app in Salesforce")
            return EnvironmentUnfit(f"{system}: {topic} cannot be read: {said}{trace}", suggestion=advice, path=topic)
    return TransientError(
        f"{system}: {topic} does not answer: {said}{trace}", suggestion=_ADVICE.get(short, ""), path=topic
    )


def pause(attempt: int, chance: float) -> float:
    """Seconds before subscribing for the `attempt`-th time in a row without an answer (counted from 1).

    >>> pause(1, 0.0), pause(3, 0.5), pause(20, 1.0)
    (0.25, 1.5, 30.0)
    """
    return min(_LIMIT, _FIRST * 2.0 ** min(attempt - 1, 16)) * (0.5 + 0.5 * chance)
