"""What `run` writes while it works: one event per line, JSON for machines, plain for a terminal, on stderr.

A log must not become a second copy of the data. So the keys of an event are an allow-list: whatever else a caller
passes is dropped (and its key, not its value, is named), and secrets that a text quotes are blotted out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator, MutableMapping
from typing import Any, Literal, TextIO

import structlog

from fieldwarden.engine.bugs import bug_of
from fieldwarden.rules.scrubbing import scrub

_KEYS = """
    event level timestamp logger message error code suggestion path reason
    system source target connector entity stream table column field half state status result position lane epoch
    slot publication snapshot lag_bytes changes echoes decisions refused records rows pending waiting parked
    set_aside seconds attempt delay height rulebook host port url pid signal version count worker duty shards
    partition offset baseline claim transactions last largest record former files fingerprint kind places not_shown
    old new changed
"""
ALLOWED = frozenset(_KEYS.split())
_SECONDS_BETWEEN_REPEATS = 10.0
_WORDINGS = 1000
Event = MutableMapping[str, Any]


def configure(style: Literal["auto", "human", "json"], level: str, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's loggers for this process."""
    out = stream or sys.stderr
    human = style == "human" or (style == "auto" and out.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = structlog.processors.JSONRenderer()
    if human:
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty() and not os.environ.get("NO_COLOR"))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_allowed,
            without_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(number, logging.WARNING))


@contextlib.contextmanager
def nothing_untold() -> Iterator[None]:
    """While it lasts, what escapes a thread or a finaliser is an event too, not a traceback between the lines."""
    before = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda escaped: _escaped(escaped.exc_value, f"thread {getattr(escaped.thread, 'name', '')}")
    sys.unraisablehook = lambda escaped: _escaped(escaped.exc_value, "a finaliser")
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before


def _escaped(error: BaseException | None, where: str) -> None:
    if error is None or isinstance(error, SystemExit):
        return
    bug = bug_of(error)
    places = f" at {bug.places[-1]}" if bug.places else ""
    structlog.get_logger("fieldwarden.run").error("bug.escaped", error=bug.kind, message=f"{where}{places}")


def only_allowed(_logger: Any, _method: str, event: Event) -> Event:
    """Drop every key that is not known to be harmless; say which were dropped."""
    unknown = sorted(key for key in event if key not in ALLOWED)
    for key in unknown:
        del event[key]
    if unknown:
        event["not_shown"] = ", ".join(unknown)
    return event


def without_secrets(_logger: Any, _method: str, event: Event) -> Event:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = scrub(value)
        elif isinstance(value, (list, tuple)):
            event[key] = [scrub(each) if isinstance(each, str) else each for each in value]
    return event


class _Forward(logging.Handler):
    """Libraries log through the standard library; their words come out in our form, without tracebacks. What one of
    them says again and again (a Kafka client without its broker: a hundred times a second) is passed on now and then.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        said, now = (record.name, str(record.msg)), record.created
        if now - self._said.get(said, 0.0) < _SECONDS_BETWEEN_REPEATS:
            return
        if len(self._said) >= _WORDINGS:
            self._said.clear()
        self._said[said] = now
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        more = {"error": error} if error else {}
        structlog.get_logger().log(record.levelno, record.getMessage().partition("\n")[0], logger=record.name, **more)
