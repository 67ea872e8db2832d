"""genuine and hollow texts → does a phrase tell them apart? The shortcut alarm (METHODS §1.3 T7). Needs all rows.

A logistic regression on which runs of one to three words a text holds is fitted to some contexts and tried on others.
Where it does well (AUC above .8), a model trained on the set may learn those phrases in place of the value, and the
phrases that give it away are named with their share in that.

What it can tell: that a word or a short phrase, held by texts of contexts that were not fitted on, parts the two. What
differs from context to context (the fault that is named, the step that is offered) does not, however genuine.
What it cannot: whether a phrase is a mannerism or the plainest way to show the value (hardly an apology does without
"I was wrong"): that is for a reader of the list. And a low AUC does not rule shortcuts out: word order beyond three
words, length, format and meaning are not looked at; for length and format there is `style_probe`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold.filters.statistics import Interval
from thousandfold.filters.tics_twosample import ridge_logistic

from .errors import RecipeError
from .grouped import auc_by_fold, folds_of, interval_around

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ALARM_AUC = 0.8
LEAST_TEXTS = 20
"""On each side; of fewer, a fold holds next to nothing."""
LONGEST = 3
LEAST_GROUPS = 3
"""A run of words that stands in texts of fewer groups tells of these alone."""
SHOWN = 8
NESTED = 0.8
"""Two runs of words, one inside the other, are one phrase where so many of their texts are the same (Jaccard)."""
CANDIDATES = 400

_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True)
class Phrase:
    """A run of words, how many of the texts of each side hold it, and its share in the mean gap between the sides."""

    phrase: str
    of: str  # genuine | hollow
    genuine: float
    hollow: float
    share: float


@dataclass(frozen=True)
class Shortcut:
    """How well short phrases part genuine from hollow on contexts that were not fitted on.

    auc       chance that a genuine text scores above a hollow one of the same fold; 0.5: no phrase tells them apart
    interval  95 %, by group
    alarm     auc above `ALARM_AUC`, and not by chance
    phrases   what gives it away, the greatest share first; none where nothing does
    """

    auc: float
    interval: Interval
    texts: int  # of both sides
    groups: int
    alarm: bool
    phrases: tuple[Phrase, ...]

    def as_dict(self) -> dict[str, Any]:
        shown = [{**phrase.__dict__} for phrase in self.phrases]
        counts = {"texts": self.texts, "groups": self.groups, "limit": ALARM_AUC, "alarm": self.alarm}
        return {"auc": self.auc, "interval": list(self.interval), **counts, "phrases": shown}


def shortcut_probe(
    genuine: pl.Series | Iterable[str | None],
    hollow: pl.Series | Iterable[str | None],
    *,
    groups: Sequence[str],
) -> Shortcut | None:
    """Whether phrases of one to three words tell `genuine` texts from `hollow` ones of other groups.

    The lists run side by side: both texts of a place belong to its group (a context, or better the seed that it
    descends from). A null is a text that is not there. Folds are whole groups; the order of rows decides nothing.
    None where a side has fewer than `LEAST_TEXTS` texts or there is one group.

    Raises RecipeError where the three are not of one length.
    """
    sides = [list(genuine), list(hollow)]
    check_lengths(sides[0], sides[1], groups)
    labelled = sorted(
        (group, side, text)
        for side, texts in enumerate(sides)
        for text, group in zip(texts, groups, strict=True)
        if text is not None
    )
    owners = [group for group, *_ in labelled]
    is_genuine = np.array([side == 0 for _, side, _ in labelled], np.bool_)
    fold = folds_of(owners)
    counts = int(is_genuine.sum()), int((~is_genuine).sum())
    if min(counts) < LEAST_TEXTS or fold[0] < 0:
        return None
    texts = [_words(text) for *_, text in labelled]
    names, matrix = _features(texts, owners)
    scores = np.zeros(len(owners))
    for number in np.unique(fold):
        held = fold == number
        if is_genuine[~held].any() and (~is_genuine[~held]).any():
            scores[held] = matrix[held] @ ridge_logistic(matrix[~held], is_genuine[~held])
    auc, own, other = auc_by_fold(scores[is_genuine], scores[~is_genuine], fold[is_genuine], fold[~is_genuine])
    influences = np.zeros(len(owners))
    influences[is_genuine], influences[~is_genuine] = own, other
    interval = interval_around(auc, influences, owners)
    told = interval.low > 0.5
    return Shortcut(
        auc=round(auc, 4),
        interval=Interval(round(interval.low, 4), round(interval.high, 4)),
        texts=len(owners),
        groups=len(set(owners)),
        alarm=told and auc > ALARM_AUC,
        phrases=tuple(_phrases(names, matrix, is_genuine, texts)) if told else (),
    )


def check_lengths(one: Sequence[Any], other: Sequence[Any], groups: Sequence[str]) -> None:
    if not len(one) == len(other) == len(groups):
        raise RecipeError(
            what=f"{len(one)} texts stand beside {len(other)} others and {len(groups)} groups",
            why="the texts of one place belong together, and to the group of that place",
            do="give three lists of one length, with None where a text is missing",
        )


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def _features(texts: Sequence[Sequence[str]], owners: Sequence[str]) -> tuple[list[str], Any]:
    """(runs of words, (texts, runs) sparse: which text holds which, rows scaled to length 1).

    Runs that only texts of few groups hold are left out; so is what every text holds.
    """
    from scipy.sparse import csr_array

    held = [_runs(text) for text in texts]
    number = {name: at for at, name in enumerate(dict.fromkeys(owners))}
    groups = Counter(gram for gram, _ in {(g, number[o]) for own, o in zip(held, owners, strict=True) for g in own})
    often = Counter(gram for own in held for gram in own)
    names = sorted(g for g, count in groups.items() if count >= LEAST_GROUPS and often[g] < len(texts))
    column = {name: at for at, name in enumerate(names)}
    cells = [sorted(column[gram] for gram in own if gram in column) for own in held]
    lengths = np.array([len(own) for own in cells], np.int64)
    values = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths)
    places = np.array([at for own in cells for at in own], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return names, csr_array((values, places, starts), shape=(len(texts), len(names)))


def _runs(words: Sequence[str]) -> set[str]:
    return {" ".join(words[at : at + n]) for n in range(1, LONGEST + 1) for at in range(len(words) - n + 1)}


def _phrases(
    names: Sequence[str], matrix: Any, is_genuine: npt.NDArray[np.bool_], texts: Sequence[Sequence[str]]
) -> list[Phrase]:
    """The phrases that make most of the gap between the mean scores of the sides.

    A run's part is its weight times the difference of its mean over the sides: the parts of all runs sum to the gap.
    Runs that lie in each other, or follow on each other, in the same texts are one phrase, and their parts are summed.
    """
    weights = ridge_logistic(matrix, is_genuine)
    means = [np.asarray(matrix[side].sum(axis=0)).ravel() / int(side.sum()) for side in (is_genuine, ~is_genuine)]
    parts = weights * (means[0] - means[1])
    columns, said = matrix.tocsc(), [f" {' '.join(words)} " for words in texts]
    found: list[_Found] = []
    for at in np.argsort(-parts, kind="stable")[:CANDIDATES].tolist():
        if parts[at] <= 0:
            break
        rows = columns.indices[columns.indptr[at] : columns.indptr[at + 1]]
        found.append(_Found(names[at], frozenset(rows.tolist()), float(parts[at]), float(weights[at])))
    for _ in range(LONGEST):  # what a phrase was joined from may follow on what another was
        found = _merged(found, said)
    best = sorted(found, key=lambda one: (-one.part, one.phrase))[:SHOWN]
    return [
        Phrase(
            phrase=one.phrase,
            of="genuine" if one.weight > 0 else "hollow",
            genuine=_rate(one.phrase, said, is_genuine),
            hollow=_rate(one.phrase, said, ~is_genuine),
            share=round(one.part / float(parts.sum()), 4),
        )
        for one in best
    ]


class _Found(NamedTuple):
    phrase: str
    rows: frozenset[int]  # texts that hold it
    part: float
    weight: float


def _merged(found: Sequence[_Found], said: Sequence[str]) -> list[_Found]:
    """Each joined to the first before it with which it is one phrase."""
    kept: list[_Found] = []
    for one in found:
        for place, other in enumerate(kept):
            both = one.rows & other.rows
            joined = _joined(other.phrase, one.phrase) if len(both) >= NESTED * len(one.rows | other.rows) else None
            if joined and sum(f" {joined} " in said[row] for row in both) >= NESTED * len(both):
                kept[place] = _Found(joined, both, other.part + one.part, other.weight)
                break
        else:
            kept.append(one)
    return kept


def _joined(one: str, other: str) -> str | None:
    """The run that both lie in: the longer one, or where the end of one is the start of the other, both."""
    first, second = (one, other) if len(one) >= len(other) else (other, one)
    if f" {second} " in f" {first} ":
        return first
    long, short = first.split(), second.split()
    for left, right in ((long, short), (short, long)):
        for shared in range(min(len(left), len(right)) - 1, 0, -1):
            if left[-shared:] == right[:shared]:
                return " ".join([*left, *right[shared:]])
    return None


def _rate(phrase: str, said: Sequence[str], side: npt.NDArray[np.bool_]) -> float:
    return round(sum(f" {phrase} " in said[row] for row in np.flatnonzero(side).tolist()) / int(side.sum()), 4)
