"""chosen and rejected texts → can style alone tell them apart? A test of a pair set (METHODS §4.3). Needs all rows.

Training on pairs extrapolates whatever differs inside them (delta learning, arXiv 2507.06187): the number of bold words
as well as the value. So a model that sees nothing but length, format and stock phrases is fitted to the pairs of some
groups and tried on the others: it should say no better than a coin which of the two is the chosen one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold.filters.statistics import Interval

from .grouped import folds_of, interval_around
from .probe import LEAST_TEXTS, check_lengths

Floats = npt.NDArray[np.float64]

STYLE_LIMIT = 0.6
"""Of pairs that style may order rightly: a coin does half, and a set in which it does 6 of 10 teaches style as well."""
RIDGE = 1.0
STEPS = 20  # of Newton's method; it stands still after some eight
STOCK = 50
"""Stock phrases: the runs of three words that most texts of either side hold, whichever side that is."""
LEAST_RATE = 0.02

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_SENTENCE = re.compile(r"[.!?]+(?=\s|$|[”\"’)])")
FEATURES = (
    "words", "words a sentence", "paragraphs", "list items", "headings", "bold", "code", "commas", "questions",
    "exclamations", "dashes and colons", "quotation marks", "stock phrases",
)  # fmt: skip
_COUNTED = {
    "list items": re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE),
    "headings": re.compile(r"^\s*#{1,6}\s+\S", re.MULTILINE),
    "bold": re.compile(r"\*\*\S|__\S"),
    "code": re.compile(r"`"),
    "commas": re.compile(r","),
    "questions": re.compile(r"\?"),
    "exclamations": re.compile(r"!"),
    "dashes and colons": re.compile(r"[—–:;]| - "),
    "quotation marks": re.compile(r"[“”\"«»]"),
}
_BY_LENGTH = ("commas", "questions", "exclamations", "dashes and colons", "quotation marks", "stock phrases")
"""Counted for each hundred words; the others as they stand, in logarithms."""


@dataclass(frozen=True)
class Style:
    """How often style alone says rightly which of two texts is the chosen one.

    auc       share of pairs of groups that were not fitted on; a tie is half; 0.5: it cannot tell
    interval  95 %, by group
    passed    False where auc is above `STYLE_LIMIT` and not by chance
    features  name, mean of the chosen, of the rejected, and how consistent the difference is: its mean over its root
              mean square, 0 to 1 in size, 1 where every pair differs alike; the most consistent first
    """

    auc: float
    interval: Interval
    pairs: int
    groups: int
    passed: bool
    features: tuple[tuple[str, float, float, float], ...]

    def as_dict(self) -> dict[str, Any]:
        names = ("feature", "chosen", "rejected", "consistency")
        told = [dict(zip(names, row, strict=True)) for row in self.features]
        counts = {"pairs": self.pairs, "groups": self.groups, "limit": STYLE_LIMIT, "passed": self.passed}
        return {"auc": self.auc, "interval": list(self.interval), **counts, "features": told}


def style_probe(
    chosen: pl.Series | Iterable[str | None], rejected: pl.Series | Iterable[str | None], *, groups: Sequence[str]
) -> Style | None:
    """Whether length, format and stock phrases tell `chosen` from `rejected` within their pairs.

    The lists run side by side; pairs with a null are left out. Ridge logistic regression on the differences within
    pairs, scaled to a standard deviation of 1 and without a constant, fitted to the pairs of other groups. None with
    fewer than `LEAST_TEXTS` pairs or with one group. Raises RecipeError where the three are not of one length.
    """
    sides = [list(chosen), list(rejected)]
    check_lengths(sides[0], sides[1], groups)
    whole = (pair for pair in zip(groups, *sides, strict=True) if pair[1] is not None and pair[2] is not None)
    pairs = sorted(whole)
    owners = [pair[0] for pair in pairs]
    fold = folds_of(owners)
    if len(pairs) < LEAST_TEXTS or fold[0] < 0:
        return None
    texts = [[str(pair[side]) for pair in pairs] for side in (1, 2)]
    stock = _stock_phrases([*texts[0], *texts[1]])
    tables = [np.array([_features(text, stock) for text in side]) for side in texts]
    apart = tables[0] - tables[1]
    apart = apart / np.where(apart.any(axis=0), np.sqrt((apart**2).mean(axis=0)), 1.0)
    right = np.zeros(len(pairs))
    for number in np.unique(fold):
        held = fold == number
        scores = (apart[held] * _weights(apart[~held])).sum(axis=1)
        right[held] = (scores > 0) + 0.5 * (scores == 0)
    auc = float(right.mean())
    interval = interval_around(auc, (right - auc) / len(right), owners)
    return Style(
        auc=round(auc, 4),
        interval=Interval(round(interval.low, 4), round(interval.high, 4)),
        pairs=len(pairs),
        groups=len(set(owners)),
        passed=not (auc > STYLE_LIMIT and interval.low > 0.5),
        features=_told(tables),
    )


def _weights(apart: Floats) -> Floats:
    """Of a logistic regression in which every row should come out positive: Newton's method, sums in one order."""
    beta = np.zeros(apart.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(np.clip((apart * beta).sum(axis=1), -500, 500)))  # of being wrong
        slope = (apart * chance[:, None]).sum(axis=0) - RIDGE * beta
        weight = chance * (1 - chance)
        curve = np.array([(apart * (apart[:, at] * weight)[:, None]).sum(axis=0) for at in range(len(beta))])
        beta = beta + np.linalg.solve(curve + RIDGE * np.eye(len(beta)), slope)
    return beta


def _stock_phrases(texts: Sequence[str]) -> set[str]:
    counts = Counter(run for text in texts for run in _runs(text))
    least = LEAST_RATE * len(texts)
    ordered = sorted((run for run, count in counts.items() if count >= least), key=lambda run: (-counts[run], run))
    return set(ordered[:STOCK])


def _runs(text: str) -> set[str]:
    words = [word.lower() for word in _WORD.findall(text)]
    return {" ".join(words[at : at + 3]) for at in range(len(words) - 2)}


def _features(text: str, stock: set[str]) -> list[float]:
    words = _WORD.findall(text)
    many = max(1, len(words))
    counts: dict[str, float] = {name: len(pattern.findall(text)) for name, pattern in _COUNTED.items()}
    counts |= {
        "words": len(words),
        "words a sentence": many / max(1, len(_SENTENCE.findall(text))),
        "paragraphs": sum(bool(part.strip()) for part in re.split(r"\n\s*\n", text)),
        "stock phrases": len(stock & _runs(text)),
    }
    return [100 * counts[name] / many if name in _BY_LENGTH else float(np.log1p(counts[name])) for name in FEATURES]


def _told(tables: Sequence[Floats]) -> tuple[tuple[str, float, float, float], ...]:
    """Means as they are read: logarithms undone."""
    apart = tables[0] - tables[1]
    rows = []
    for at, name in enumerate(FEATURES):
        means = [float(table[:, at].mean()) for table in tables]
        shown = means if name in _BY_LENGTH else [float(np.expm1(mean)) for mean in means]
        size = float((apart[:, at] ** 2).mean()) ** 0.5
        same = float(apart[:, at].mean()) / size if size else 0.0
        rows.append((name, round(shown[0], 3), round(shown[1], 3), round(same, 3)))
    return tuple(sorted(rows, key=lambda row: (-abs(row[3]), row[0])))
