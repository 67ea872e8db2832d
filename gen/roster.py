"""context → teacher: who writes for which context when several do, by their shares; and who takes over for one.

Weighted rendezvous hashing: each teacher draws a number for the context, and the least draw writes. So a teacher that
is added takes its share from each of the others and moves no other context, and one that goes leaves its own to the
rest. (Thaler, Ravishankar 1998; weights as in Schindelhauer, Schomaker 2005: the draw is exponential, with the share as
its rate.)
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from .recipe import Recipe
from .settings import ShareSettings
from .teachers.base import Sampling

FRACTION_BITS = 32
"""Of the logarithm that makes a draw; it is taken in whole numbers, so that every machine orders alike."""


class Writer(NamedTuple):
    model: str  # identity, part of every ask's id
    settings: ShareSettings

    def sampling(self, seed: int) -> Sampling:
        return Sampling(self.settings.temperature, self.settings.max_tokens, seed)


class Roster:
    """The teachers of a run, in the recipe's order."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self.writers = tuple(writers)
        self.models = tuple(writer.model for writer in writers)

    @classmethod
    def alone(cls, model: str, recipe: Recipe) -> Roster:
        """One teacher, with the settings of the recipe's first."""
        return cls([Writer(model, recipe.teachers[0])])

    def order(self, context_id: str) -> tuple[str, ...]:
        """All models, the one that writes for the context first, then who takes over, one after the other."""
        if len(self.models) == 1:
            return self.models
        drawn = [(_draw(context_id, model) / settings.share, model) for model, settings in self.writers]
        return tuple(model for _, model in sorted(drawn))

    @property
    def max_tokens(self) -> int:
        """Of the teacher that may write most."""
        return max(settings.max_tokens for _, settings in self.writers)

    @property
    def shares(self) -> dict[str, float]:
        """model -> its part of all contexts; the parts sum to 1."""
        total = sum(settings.share for _, settings in self.writers)
        return {model: settings.share / total for model, settings in self.writers}


def _draw(context_id: str, model: str) -> int:
    """An exponential draw, of mean 1 / ln 2 in units of 2^-32: minus the binary logarithm of 64 bits of a hash."""
    digest = sha256(f"teacher\0{context_id}\0{model}".encode("utf-8", "surrogatepass")).digest()
    return (64 << FRACTION_BITS) - _log2(int.from_bytes(digest[:8], "big") + 1)


def _log2(number: int) -> int:
    """floor(log2(number) * 2^32) to within one: bit by bit, by squaring (Majithia, Levan 1973)."""
    whole = number.bit_length() - 1
    mantissa = (number << 63) >> whole  # in [2^63, 2^64): a number in [1, 2) with 63 bits behind the point
    found = whole
    for _ in range(FRACTION_BITS):
        mantissa = (mantissa * mantissa) >> 63
        carry = mantissa >> 64
        mantissa >>= carry
        found = found << 1 | carry
    return found
