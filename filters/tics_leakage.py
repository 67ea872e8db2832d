"""texts and their context cards → does a text give its card away? (T6). Needs all rows; works on a sample.

Two measures, each beside what cards dealt out at random would give (a permutation test): the share of a card's rare
words and phrases that its text quotes, and how often a linear classifier reads a level off a text that it was not
fitted on. A text *about* a domain gives the domain away rightly; that its words give away a persona or a tone is
caricature (Cheng et al., arXiv 2310.11501). It reports; floats decide nothing here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from .tics_ngrams import Codes, Ints, Vocabulary, Words, cut, mine, occurrences
from .tics_skeletons import phrasing
from .tics_twosample import features

PERMUTATIONS = 199
SAMPLE_TEXTS = 1000
LONGEST = 3  # words of a card that are looked for in a row
RARE = 0.05  # of the texts may hold a card's n-gram at most, or it says nothing of the card
_RIDGE = 1.0


class Leak(NamedTuple):
    """One measure, and what chance gives."""

    measure: str  # card_quoted | card_told
    of: str | None  # the axis that is told
    value: float
    expected: float  # mean over permutations
    p: float  # (1 + permutations that reach the value) / (1 + permutations)


def leaks(words: Words, cards: pl.DataFrame, vocabulary: Vocabulary, *, seed: int) -> list[Leak]:
    """`words` without signs, in an order that the content decides; `cards` a String column for each axis.

    A null level is no card: such rows are left out of its measure. Only the first `SAMPLE_TEXTS` rows are looked at.
    """
    draws = np.random.default_rng(seed)
    matrix = features(words, vocabulary).matrix
    axes = [cards[axis] for axis in cards.columns if cards[axis].n_unique() < cards.height / 2]  # else no levels
    found = [_quoted(words, cards, vocabulary, draws), *(_told(matrix, levels, draws) for levels in axes)]
    return [leak for leak in found if leak is not None]


def _quoted(words: Words, cards: pl.DataFrame, vocabulary: Vocabulary, draws: np.random.Generator) -> Leak | None:
    """The mean share of a card's rare n-grams that stand in the text."""
    from scipy.sparse import csr_array

    lines = cards.select(pl.concat_str(pl.all(), separator="\n", ignore_nulls=True)).to_series()
    card_words = phrasing(cut(lines, vocabulary), vocabulary)
    grams = [g.codes for g in mine(card_words, shortest=1, longest=LONGEST, least=1)]
    count = sum(map(len, grams))
    in_text, text_rows = occurrences(words, grams)
    in_card, card_rows = occurrences(card_words, grams)
    rare = np.bincount(in_text, minlength=count) <= RARE * words.height
    rare &= np.bincount(in_card, minlength=count) < max(2, cards.height / 2)  # what most cards say tells none apart
    own, on_card = rare[in_text], rare[in_card]
    texts = csr_array((np.ones(own.sum()), (text_rows[own], in_text[own])), shape=(words.height, count))
    dealt = csr_array((np.ones(on_card.sum()), (card_rows[on_card], in_card[on_card])), shape=(words.height, count))
    sizes = np.asarray(dealt.sum(axis=1)).ravel()
    holders = np.flatnonzero(sizes)
    if len(holders) < 2:
        return None
    texts, dealt, sizes = texts[holders], dealt[holders], sizes[holders]

    def share(order: Ints) -> float:
        shared = np.asarray(texts.multiply(dealt[order]).sum(axis=1)).ravel()
        return float((shared / sizes[order]).mean())

    value = share(np.arange(len(holders)))
    by_chance = np.array([share(draws.permutation(len(holders))) for _ in range(PERMUTATIONS)])
    return Leak("card_quoted", None, value, float(by_chance.mean()), _p(value, by_chance))


def _told(matrix: Any, levels: pl.Series, draws: np.random.Generator) -> Leak | None:
    """How often a ridge classifier that did not see a text names its level (leave one out, in closed form)."""
    given = np.flatnonzero(levels.is_not_null().to_numpy())
    known = sorted(set(levels.drop_nulls()))
    if len(known) < 2 or len(given) < 4:
        return None
    codes = np.array([known.index(level) for level in levels.drop_nulls()], np.int32)
    rows = matrix[given]
    kernel = (rows @ rows.T).toarray() + 1.0  # and a constant
    hat = np.linalg.solve(kernel + _RIDGE * np.eye(len(given)), kernel)
    labels = np.stack([codes, *(draws.permutation(codes) for _ in range(PERMUTATIONS))])
    value, *by_chance = _accuracies(hat, labels, len(known)).tolist()
    return Leak("card_told", levels.name, value, float(np.mean(by_chance)), _p(value, np.array(by_chance)))


def _accuracies(hat: npt.NDArray[np.float64], labels: Codes, levels: int) -> npt.NDArray[np.float64]:
    """Of each row of `labels` the share that is right, each text scored by a fit without it."""
    target = np.eye(levels)[labels.T]  # (texts, labellings, levels)
    fitted = (hat @ target.reshape(len(hat), -1)).reshape(target.shape)  # all at once: many small products are slow
    own = np.diag(hat)[:, None, None]
    without = (fitted - own * target) / (1 - own)
    shares: npt.NDArray[np.float64] = (without.argmax(axis=2) == labels.T).mean(axis=0)
    return shares


def _p(value: float, by_chance: npt.NDArray[np.float64]) -> float:
    return (1 + int((by_chance >= value - 1e-12).sum())) / (1 + len(by_chance))
