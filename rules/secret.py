"""A value that nobody reads by accident: whatever prints it prints ***.

A secret stays one from where its reference is followed to where a connection is made: there, and nowhere else, it is
revealed. What a foreign text quotes of it all the same is blotted out by `rules.scrubbing`, which learns each secret.
"""

from __future__ import annotations

from typing import TypeAlias

from fieldwarden.rules.scrubbing import BLOT, learn


class Secret:
    """A text in disguise. It is equal to another secret of the same text, and to nothing else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        learn(text)

    @classmethod
    def of(cls, given: Secretive) -> Secret:
        """A secret as it is, a plain text as one."""
        return given if isinstance(given, Secret) else cls(given)

    def reveal(self) -> str:
        """The text. To be called where a connection is made, and the result kept nowhere."""
        return self._text

    def __repr__(self) -> str:
        return BLOT

    def __format__(self, spec: str) -> str:
        return format(BLOT, spec)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)


Secretive: TypeAlias = Secret | str
"""What is kept as a secret; a plain text is one that has not been wrapped yet."""


def revealed(given: Secretive) -> str:
    """The text of a secret, or of one that has not been wrapped. As `Secret.reveal`."""
    return given.reveal() if isinstance(given, Secret) else given
