"""What goes wrong on demand: each fault has a name, strikes as often as it was armed for, and is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from fieldwarden.rules.errors import FieldwardenError

EVERY_VENDOR = {
    "lost_answer": "a write is carried out, and the connection closes before the answer",
    "throttle": "a request is refused as one too many, with the vendor's headers",
    "server_error": "a request is answered with 500 before anything is done",
    "slow": "an answer takes long (`seconds`, 10 unless told)",
    "html": "a request is answered with a page of HTML and the status 200",
    "revoked_token": "a request's key or token is refused as revoked",
}
HOOKS = {
    "hook_duplicate": "a webhook is sent twice",
    "hook_reorder": "a webhook is sent after the next one",
    "hook_drop": "a webhook is never sent",
    "hook_signature": "a webhook's signature is of another secret",
    "wrong_clock": "a webhook's signature is ten minutes old",
}
SLOW_SECONDS = 10.0


class SandboxRefused(FieldwardenError):
    """The vendor, the fault, the port or the data that a sandbox was asked for is none."""

    code = "sandbox"
    exit_code = 2


@dataclass(slots=True)
class Armed:
    """`left` is how often it strikes yet (None: always), at each `each`-th occasion, on paths that begin so."""

    left: int | None = 1
    each: int = 1
    path: str = ""
    seconds: float = SLOW_SECONDS
    occasions: int = 0

    def due(self, path: str) -> bool:
        """Whether this occasion is one. It is counted."""
        if self.left == 0 or not path.startswith(self.path):
            return False
        self.occasions += 1
        if self.occasions % self.each:
            return False
        if self.left is not None:
            self.left -= 1
        return True


def read(text: str) -> tuple[str, Armed]:
    """What `--fault` says: `throttle` once, `throttle:5` five times, `throttle:always`, `throttle:1/10` each tenth
    time. Raises SandboxRefused."""
    name, _, often = text.partition(":")
    if often in ("", "always"):
        return name, Armed(left=None if often else 1)
    once, slash, each = often.partition("/")
    if slash and once == "1" and each.isdecimal() and int(each):
        return name, Armed(left=None, each=int(each))
    if not slash and often.isdecimal() and int(often):
        return name, Armed(left=int(often))
    raise SandboxRefused(
        f"--fault {text}: {often!r} does not say how often", suggestion="say NAME, NAME:5, NAME:1/10 or NAME:always"
    )


class Faults:
    """The faults of one vendor: those it knows, those that are armed, and how often each has struck."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known
        self.armed: dict[str, Armed] = {}
        self.struck: Counter[str] = Counter()

    def arm(self, name: str, armed: Armed) -> None:
        """It takes the place of an earlier one of that name. Raises SandboxRefused."""
        if name not in self.known:
            raise SandboxRefused(f"there is no fault {name!r} here", suggestion=f"there are {', '.join(self.known)}")
        self.armed[name] = armed

    def clear(self) -> None:
        self.armed.clear()
        self.struck.clear()

    def strikes(self, name: str, path: str = "") -> bool:
        """Whether it strikes on this occasion. It is counted if so."""
        armed = self.armed.get(name)
        if armed is None or not armed.due(path):
            return False
        self.struck[name] += 1
        return True

    def seconds(self, name: str) -> float:
        return self.armed[name].seconds
