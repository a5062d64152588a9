"""Memory that large values took goes back to the system once they are gone.

glibc serves large blocks apart, and gives them back when they are freed; but each one freed raises the size from which
on it does so, up to 32 MiB. From then on values of that size come out of its heap, where one small block that was put
behind them keeps all of it.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""As malloc.h numbers them."""
_APART, _KEPT = 4 << 20, 16 << 20
"""Bytes: blocks from the first on stand apart; of the heap's end up to the second is kept for what comes next."""


def give_back() -> None:
    """From here on, in this process. Nothing is done where the C library has no such settings."""
    try:
        setting = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    setting(_MMAP_THRESHOLD, _APART)
    setting(_TRIM_THRESHOLD, _KEPT)
