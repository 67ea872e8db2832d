"""What replies cost: one, all of a ledger, and those for which nobody knew a price. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Charge:
    """What one outcome cost, and what a limit counts for it: the worst case where the usage is unknown."""

    cost_microusd: int | None  # None: price or usage unknown
    counted_tokens: int
    counted_microusd: int


@dataclass(frozen=True)
class Spent:
    """What all replies in the ledger have cost so far, failures included."""

    replies: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    microusd: int = 0
    unpriced: int = 0  # replies whose price or usage is unknown
    counted_tokens: int = 0  # what a limit counts, as in Charge
    counted_microusd: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_told_tokens: int = 0  # of the prompts whose provider said how much of them was cached
    reasked: int = 0  # replies that were asked for again because those before them could not be read

    @property
    def cached_share(self) -> float | None:
        """Of the prompt tokens of which it is known, how many came from a cache; None where nobody said."""
        return self.cached_share_since(Spent())

    def cached_share_since(self, before: Spent) -> float | None:
        """The same of what came after `before`."""
        told = self.cache_told_tokens - before.cache_told_tokens
        return (self.cached_tokens - before.cached_tokens) / told if told else None


class Unpriced(NamedTuple):
    """Replies and failures of one model for which no money was counted; `other_tokens` are of unknown usage."""

    model: str
    replies: int
    prompt_tokens: int
    completion_tokens: int
    other_tokens: int


@dataclass
class Tally:
    """What this run asked, by where the answer came from."""

    asked: int = 0
    replayed: int = 0
    failed: int = 0
    microusd: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
