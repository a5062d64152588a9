"""A write whose result is not known: what is to be done about it, by what its target holds and how long it is ago.

A call that nobody waits for any more may be carried out yet, until the time has passed that its target states
(`Capabilities.settles_within`). Until then "there is no such row" says nothing, and a row that was to be changed may
change yet. A row that was to be made is made once, so once it is there, that is all that is to come of the call.
"""

from __future__ import annotations

from typing import Literal

from fieldwarden.engine.ports.target import Found, Intent

Verdict = Literal["known", "gone", "repeat", "wait"]


def judged(intent: Intent, found: Found | None, *, settled: bool) -> Verdict:
    """What is known of an intent in doubt. `found` is what the target holds (None: it cannot say yet), `settled` that
    the call cannot take effect any more.

    known: the row is there, and what it holds is what came of it. gone: there is no such row (any more). repeat: make
    the call again under the same idempotency key; no second row can come of it. wait: look again later. That external
    ids are unique is no reason to repeat it sooner: were the row deleted meanwhile, the first call would make it anew.

    >>> create = Intent("k", "r", "s", "create", None, None, 1)
    >>> judged(create, Found("k", None), settled=False)
    'wait'
    >>> judged(create, Found("k", None), settled=True)
    'repeat'
    """
    if found is None:
        return "wait"
    if intent.operation == "create":
        if found.row is not None:
            return "known"
        return "repeat" if settled else "wait"
    if not settled:
        return "wait"
    return "gone" if found.row is None else "known"
