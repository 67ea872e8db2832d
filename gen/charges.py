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


class Unpriced(NamedTuple):
    """Replies and failures of one model for which no money was counted; `other_tokens` are of unknown usage."""

    model: str
    replies: int
    prompt_tokens: int
    completion_tokens: int
    other_tokens: int
