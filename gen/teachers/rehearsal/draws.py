"""Choices drawn from a hash, so that the same question gets the same answer in every process."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

BLOCK = 16  # draws in one 64-byte digest, four bytes each


class Draws:
    """A stream of choices keyed by its parts: blake2b in counter mode.

    Streams with different keys are independent, so a decision never shifts the ones made elsewhere. Not
    `random.Random`: its algorithm for ranges has changed between versions of Python.
    """

    def __init__(self, *key: str | int) -> None:
        # Model and seed text may hold lone surrogates, which UTF-8 alone refuses.
        parts = "\0".join(str(part) for part in key).encode("utf-8", "surrogatepass")
        self._key = blake2b(parts, digest_size=32).digest()
        self._taken = 0
        self._block = b""

    def bits(self) -> int:
        """The next 32 bits."""
        place = self._taken % BLOCK
        if place == 0:
            counter = (self._taken // BLOCK).to_bytes(8, "big")
            self._block = blake2b(counter, key=self._key, digest_size=64).digest()
        self._taken += 1
        return int.from_bytes(self._block[4 * place : 4 * place + 4], "big")

    def below(self, size: int) -> int:
        """An integer from 0 to size - 1; the bias of the multiplication is below size / 2**32."""
        return (self.bits() * size) >> 32

    def share(self) -> float:
        """A number in [0, 1)."""
        return self.bits() / 2**32

    def chance(self, probability: float) -> bool:
        return self.share() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def few(self, items: Sequence[T]) -> Sequence[T]:
        """What these draws take from at all: everything."""
        return items

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a drawn order (Fisher-Yates)."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = self.below(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed
