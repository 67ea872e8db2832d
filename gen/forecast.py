"""What a run will ask and cost, as an interval: from a pilot where there is one, else from stated assumptions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from .budget import Budget
from .expansion import WRITING
from .teachers.base import Ask, Usage

ASSUMED_YIELD = (0.6, 1.0)
"""Share of drafts that the filters keep, before anything is known about a teacher."""
ASSUMED_REPLY = (0.15, 1.0)
"""Share of max_tokens that a reply uses, before anything is known about a teacher."""
ASSUMED_REASKED = (0.0, 0.1)
"""Share of replies that cannot be read and are asked for again, before anything is known about a teacher."""
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


def assumed(
    paths: Sequence[tuple[float, Sequence[Ask]]],
    *,
    wanted: int,
    heldout: int,
    budget: Budget,
    writing: int = WRITING,
) -> Forecast:
    """From one rendered path of asks for each teacher, with its share of all contexts, and the assumptions above.

    The first `writing` of a path write the draft; the follow-ups that an ask may have are in it too.
    """
    ends = [
        [(share, _cost_of(path, end, budget)) for share, path in paths]
        for end in zip(ASSUMED_REPLY, ASSUMED_BYTES_PER_TOKEN, ASSUMED_REASKED, strict=True)
    ]
    low, high = (_mean_of(end) for end in ends)
    again = (
        ", of which up to 10 % are asked for again," if any(ask.follows for _, path in paths for ask in path) else ""
    )
    return _forecast(
        f"no pilot: a yield of 60 to 100 % and replies of 15 to 100 % of max_tokens{again} are assumed",
        (ASSUMED_YIELD[0], ASSUMED_YIELD[1]),
        asks=(low.asks, high.asks),
        tokens=(low.tokens, high.tokens),
        usd=None if low.usd is None or high.usd is None else (low.usd, high.usd),
        wanted=wanted,
        heldout=heldout,
        writing=writing,
    )


def also(foreseen: Forecast, paths: Sequence[tuple[float, Sequence[Ask]]], *, count: int, budget: Budget) -> Forecast:
    """`foreseen`, and `count` more paths by the assumptions above, whatever the drafts may come to."""
    low, high = (
        _mean_of([(share, _cost_of(path, end, budget)) for share, path in paths])
        for end in zip(ASSUMED_REPLY, ASSUMED_BYTES_PER_TOKEN, ASSUMED_REASKED, strict=True)
    )
    usd = None
    if foreseen.usd is not None and low.usd is not None and high.usd is not None:
        usd = (foreseen.usd[0] + count * low.usd, foreseen.usd[1] + count * high.usd)
    return replace(
        foreseen,
        asks=(foreseen.asks[0] + math.ceil(count * low.asks), foreseen.asks[1] + math.ceil(count * high.asks)),
        tokens=(
            foreseen.tokens[0] + math.ceil(count * low.tokens),
            foreseen.tokens[1] + math.ceil(count * high.tokens),
        ),
        usd=usd,
    )


class _Cost(NamedTuple):
    """Of one context on average: asks, tokens, and USD, None where a price is unknown."""

    asks: float
    tokens: float
    usd: float | None


def _cost_of(path: Sequence[Ask], end: tuple[float, float, float], budget: Budget) -> _Cost:
    """A path at one end of the assumptions; what is asked again counts by how often that is assumed to happen."""
    reply, bytes_per_token, reasked = end
    times = Counter[str]()
    asks = tokens = usd = 0.0
    priced = True
    for ask in path:
        first = ask.follows or ask.id
        part = reasked ** times[first]  # 1 for an ask, then what is asked the k-th time again
        times[first] += 1
        prompt = sum(len(m.content.encode("utf-8", "replace")) for m in ask.messages)
        usage = Usage(math.ceil(prompt / bytes_per_token), math.ceil(ask.sampling.max_tokens * reply))
        cost = budget.cost(ask.model, usage)
        asks += part
        tokens += part * ((usage.prompt_tokens or 0) + (usage.completion_tokens or 0))
        usd += part * (cost or 0) / 1e6
        priced = priced and cost is not None
    return _Cost(asks, tokens, usd if priced else None)


def _mean_of(costs: Sequence[tuple[float, _Cost]]) -> _Cost:
    """By the teachers' shares."""
    usd = None if any(cost.usd is None for _, cost in costs) else sum(share * (cost.usd or 0) for share, cost in costs)
    asks = sum(share * cost.asks for share, cost in costs)
    tokens = sum(share * cost.tokens for share, cost in costs)
    return _Cost(asks, tokens, usd)


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
        asks=(asks / max(1, drafts),) * 2,
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
    asks: Interval,
    tokens: Interval,
    usd: Interval | None,
    wanted: int,
    heldout: int,
    writing: int,
    expected: int | None = None,
) -> Forecast:
    low, high = wanted / max(share[1], 1e-9) + heldout, wanted / max(share[0], 0.01) + heldout
    # A sealed context is written and never judged: at the least it costs that part of a whole context.
    least = low - heldout + heldout * (min(1.0, writing / asks[0]) if asks[0] else 1.0)
    return Forecast(
        basis=basis,
        yield_=share,
        contexts=(math.ceil(low), math.ceil(high)),
        asks=(math.ceil(least * asks[0]), math.ceil(high * asks[1])),
        tokens=(math.ceil(least * tokens[0]), math.ceil(high * tokens[1])),
        usd=None if usd is None else (least * usd[0], high * usd[1]),
        accepted=wanted,
        expected=expected,
    )
