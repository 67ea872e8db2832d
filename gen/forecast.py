"""What a run will ask and cost, as an interval: from a pilot where there is one, else from stated assumptions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .budget import Budget
from .expansion import WRITING
from .teachers.base import Ask, Usage

ASSUMED_YIELD = (0.6, 1.0)
"""Share of drafts that the filters keep, before anything is known about a teacher."""
ASSUMED_REPLY = (0.15, 1.0)
"""Share of max_tokens that a reply uses, before anything is known about a teacher."""
ASSUMED_BYTES_PER_TOKEN = (5.0, 3.0)
"""English prose runs at about four bytes a token; the interval is wide on purpose."""
Z = 1.96  # two-sided 95 %

Interval = tuple[float, float]


@dataclass(frozen=True)
class Forecast:
    """Low and high ends of a 95 % interval (pilot) or of the stated assumptions (no pilot)."""

    basis: str  # in words
    yield_: Interval
    contexts: Interval
    asks: Interval
    tokens: Interval
    usd: Interval | None  # None: a price is unknown
    accepted: int  # drafts that the filters and the judge must keep: the pool that the selection chooses from
    expected: int | None  # contexts at the yield that the pilot had; None without a pilot, or if it kept nothing

    def as_dict(self) -> dict[str, object]:
        fields: dict[str, object] = {"basis": self.basis, "yield": self.yield_, "contexts": self.contexts}
        fields |= {"asks": self.asks, "tokens": self.tokens, "usd": self.usd}
        return {**fields, "accepted": self.accepted, "expected_contexts": self.expected}


def assumed(path: Sequence[Ask], *, wanted: int, heldout: int, budget: Budget, writing: int = WRITING) -> Forecast:
    """From one rendered path of asks, the first `writing` of which write the draft, and the assumptions above."""
    ends = []
    for reply, bytes_per_token in zip(ASSUMED_REPLY, ASSUMED_BYTES_PER_TOKEN, strict=True):
        usages = [
            Usage(
                math.ceil(sum(len(m.content.encode("utf-8", "replace")) for m in ask.messages) / bytes_per_token),
                math.ceil(ask.sampling.max_tokens * reply),
            )
            for ask in path
        ]
        costs = [budget.cost(ask.model, usage) for ask, usage in zip(path, usages, strict=True)]
        tokens = sum((u.prompt_tokens or 0) + (u.completion_tokens or 0) for u in usages)
        ends.append((tokens, None if None in costs else sum(c or 0 for c in costs) / 1e6))
    return _forecast(
        "no pilot: a yield of 60 to 100 % and replies of 15 to 100 % of max_tokens are assumed",
        (ASSUMED_YIELD[0], ASSUMED_YIELD[1]),
        asks=len(path),
        tokens=(ends[0][0], ends[1][0]),
        usd=None if ends[0][1] is None or ends[1][1] is None else (ends[0][1], ends[1][1]),
        wanted=wanted,
        heldout=heldout,
        writing=writing,
    )


def from_pilot(
    *,
    drafts: int,
    kept: int,
    asks: int,
    tokens: Sequence[int],
    usd: Sequence[float] | None,
    wanted: int,
    heldout: int,
    writing: int = WRITING,
) -> Forecast:
    """From `drafts` drafts of which `kept` were kept; `tokens` and `usd` are per context."""
    return _forecast(
        f"a pilot of {drafts} drafts, {kept} of them kept (95 % intervals)",
        wilson(kept, drafts),
        asks=asks / max(1, drafts),
        tokens=mean_interval(tokens),
        usd=None if usd is None else mean_interval(usd),
        wanted=wanted,
        heldout=heldout,
        writing=writing,
        expected=math.ceil(Fraction(wanted * drafts, kept)) + heldout if kept else None,
    )


def wilson(hits: int, trials: int) -> Interval:
    """Wilson's score interval for a share, two-sided 95 % (Wilson 1927)."""
    if not trials:
        return (0.0, 1.0)
    share, z2 = hits / trials, Z * Z
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    return (max(0.0, middle - half), min(1.0, middle + half))


def mean_interval(values: Sequence[float]) -> Interval:
    """Normal interval for a mean, two-sided 95 %; the value itself where there is only one."""
    count = len(values)
    mean = sum(values) / max(1, count)
    if count < 2:
        return (mean, mean)
    spread = math.sqrt(sum((x - mean) ** 2 for x in values) / (count - 1) / count)
    return (max(0.0, mean - Z * spread), mean + Z * spread)


def _forecast(
    basis: str,
    share: Interval,
    *,
    asks: float,
    tokens: Interval,
    usd: Interval | None,
    wanted: int,
    heldout: int,
    writing: int,
    expected: int | None = None,
) -> Forecast:
    low, high = wanted / max(share[1], 1e-9) + heldout, wanted / max(share[0], 0.01) + heldout
    # A sealed context is written and never judged: at the least it costs that part of a whole context.
    least = low - heldout + heldout * (min(1.0, writing / asks) if asks else 1.0)
    return Forecast(
        basis=basis,
        yield_=share,
        contexts=(math.ceil(low), math.ceil(high)),
        asks=(math.ceil(least * asks), math.ceil(high * asks)),
        tokens=(math.ceil(least * tokens[0]), math.ceil(high * tokens[1])),
        usd=None if usd is None else (least * usd[0], high * usd[1]),
        accepted=wanted,
        expected=expected,
    )
