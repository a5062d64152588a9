"""Valid inputs, spoiled: their bytes, or the structure of the JSON that they are."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

LONG = 100_000
"""Bytes of the longest inputs."""

_CHUNKS = (b"\0", b"\xff", b"\x80", b'"', b"\\", b"[", b"{", b"}", b"]", b":", b",", b"\n", b"\t", b"(", b"'", b"\xf0")
_SIZES = (0, 1, 127, 128, 255, 1 << 15, (1 << 16) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)
_NUMBERS = ("0", "-1", "1e999", "1E-99999999", "9" * 400, "9" * 5_000, str(1 << 63), "-0.0", "1.5e308", "1e131071")
_WORDS = ("", "x", "\0", "\ufffd", "NaN", "Infinity", "1e999999", "2024-02-30", "__debezium_unavailable_value", "AA==")
_VERBATIM = re.compile(r'"@@(.*?)@@"')


def spoiled(random: Random, data: bytes, other: bytes = b"") -> bytes:
    """Changed in one to four places. `other` is another valid input, of which it may get a piece."""
    for _ in range(random.randint(1, 4)):
        data = random.choice((_flipped, _cut, _dropped, _doubled, _inserted, _resized, _repeated, _spliced))(
            random, data, other
        )
    return data[: 2 * LONG]


def _place(random: Random, data: bytes) -> int:
    return random.randint(0, len(data))


def _flipped(random: Random, data: bytes, other: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(min(len(data), random.randint(1, 6))):
        spoilt[random.randrange(len(data))] = random.randrange(256)
    return bytes(spoilt)


def _cut(random: Random, data: bytes, _: bytes) -> bytes:
    return data[: _place(random, data)]


def _dropped(random: Random, data: bytes, _: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.randint(1, 60) :]


def _doubled(random: Random, data: bytes, _: bytes) -> bytes:
    at = _place(random, data)
    return data[: at + random.randint(1, 200)] + data[at:]


def _inserted(random: Random, data: bytes, _: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + random.choice(_CHUNKS) * random.choice((1, 1, 2, 40)) + data[at:]


def _resized(random: Random, data: bytes, _: bytes) -> bytes:
    """Some bytes of it taken for a length or a count."""
    at, width = _place(random, data), random.choice((1, 2, 4, 8))
    return data[:at] + (random.choice(_SIZES) & ((1 << 8 * width) - 1)).to_bytes(width, "big") + data[at + width :]


def _repeated(random: Random, data: bytes, _: bytes) -> bytes:
    """A piece of it very often; seldom, or all inputs would be long."""
    at = _place(random, data)
    piece = data[at : at + random.randint(1, 30)] or b"("
    often = random.choice((3, 30, 300)) if random.random() < 0.97 else LONG // len(piece)
    return data[:at] + piece * often + data[at:]


def _spliced(random: Random, data: bytes, other: bytes) -> bytes:
    return data[: _place(random, data)] + other[_place(random, other) :]


# --- JSON -------------------------------------------------------------------------------------------------------


def restructured(random: Random, value: Any) -> bytes:
    """JSON of the same structure but for one to three of its parts."""
    altered = value
    for _ in range(random.randint(1, 3)):
        altered = _altered(random, altered)
    text = json.dumps(altered, separators=(",", ":"), ensure_ascii=random.random() < 0.5)
    if len(text) > 2 * LONG:
        return restructured(random, value)
    return _VERBATIM.sub(lambda found: found[1], text).encode("utf-8", "surrogatepass")


def _altered(random: Random, value: Any) -> Any:
    """A copy with one part of it replaced: near the top or deep down."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice(list(value))
        if random.random() < 0.1:
            return {other: each for other, each in value.items() if other != name}
        return {**value, name: _altered(random, value[name])}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        if random.random() < 0.1:
            return value[:at] + value[at : at + 1] * random.choice((0, 2, 50)) + value[at + 1 :]
        return [*value[:at], _altered(random, value[at]), *value[at + 1 :]]
    return _anything(random, value)


def _anything(random: Random, value: Any) -> Any:
    match random.randrange(8):
        case 0:
            return f"@@{random.choice(_NUMBERS)}@@"
        case 1:
            return random.choice(_WORDS)
        case 2:
            return random.choice((None, True, False, [], {}, [[]], {"": None}, {"type": "array"}))
        case 3:
            return _nested(random, value)
        case 4:
            return [value] * random.choice((1, 3, 200))
        case 5:
            return {"scale": random.choice((0, 2, -5, 16_383, 10**12)), "value": value}
        case 6:
            return str(value) * random.choice((1, 10, 300)) if isinstance(value, str | int) else str(value)
        case _:
            return f"{value}" if not isinstance(value, str) else value[: len(value) // 2]


def _nested(random: Random, value: Any) -> Any:
    wrap = random.choice((lambda inner: [inner], lambda inner: {"type": "array", "items": inner}))
    for _ in range(random.choice((1, 5, 70, 250))):
        value = wrap(value)
    return value
