"""n-grams of texts, against a reference → stock phrases (T2), and skeletons by the same test (T4). Needs all rows.

Counted is in how many texts an n-gram stands, not how often: one text that repeats itself makes no tic. One is listed
where it is frequent, much more so than in the reference, and that is not chance; of phrases that hold each other
the one is listed that says most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .statistics import benjamini_hochberg
from .tics_ngrams import Codes, Grams, Ints, Words, mine, occurrences

LEAST_RATE = 0.005
LEAST_RATIO = 5.0
FALSE_DISCOVERY_RATE = 0.01
SAME = 0.8
"""A longer phrase stands for the shorter one in it if it has at least this share of its texts."""

LONGEST_JOINED = 24  # words; what goes on longer is a copy, and for the filter of duplicates
MOST_WITHOUT_REFERENCE = 50  # the most frequent ones: with nothing to compare, the list has no other end
PRIOR_WEIGHT = 0.1  # of the Dirichlet prior, as a share of all texts

Floats = npt.NDArray[np.float64]
Gram = tuple[int, ...]


class Side(NamedTuple):
    """Texts that are counted, or that are compared with."""

    words: Words
    texts: int  # rows that hold a text at all


class Tic(NamedTuple):
    """One listed n-gram. Without a reference the last four are None."""

    gram: Gram
    rows: Ints  # that hold it, ascending
    reference_count: int | None
    ratio: float | None
    z: float | None
    adjusted_p: float | None


class Test(NamedTuple):
    """What a reference says of several counts, each of so many texts."""

    ratio: Floats
    z: Floats
    adjusted_p: Floats

    def listed(self, counts: Ints, texts: int) -> npt.NDArray[np.bool_]:
        frequent = counts >= least_count(texts)
        chosen: npt.NDArray[np.bool_] = (
            frequent & (self.ratio >= LEAST_RATIO) & (self.adjusted_p <= FALSE_DISCOVERY_RATE)
        )
        return chosen


def least_count(texts: int) -> int:
    """In how many of `texts` a tic must stand at least: `LEAST_RATE` of them, and never in just one."""
    return max(2, math.ceil(LEAST_RATE * texts - 1e-9))


def counted_from(texts: int) -> int:
    """From which count on candidates are tested: half of what is listed, so that choosing them costs little power."""
    return max(2, least_count(texts) // 2)


def against(counts: Ints, texts: int, reference_counts: Ints, reference_texts: int) -> Test:
    """Each count of `texts` against the count of the same thing in `reference_texts`, both above 0.

    ratio       of the two rates, the reference with half a text more, so that none is not infinitely rare
    z           log odds ratio over its standard error, with an informative Dirichlet prior: the pooled rate,
                worth `PRIOR_WEIGHT` of all texts (Monroe, Colaresi and Quinn 2008, eq. 15, 16, 22), with the variance
                of a share (they leave out 1 / (n - y), which matters where a thing stands in half of the texts)
    adjusted_p  Benjamini-Hochberg over all counts given. The p is exact, for the normal tail of z is far off where
                the reference has none: given the sum of both counts, the count is binomial where rates are equal
                (Przyborowski and Wilenski 1940). Candidates are chosen for having `counted_from(texts)` or more, so
                the tail is that of a binomial that has so many.
    """
    from scipy.special import bdtrc

    both, total = counts + reference_counts, texts + reference_texts
    prior = PRIOR_WEIGHT * total
    pooled = both / total
    ratio = (counts / texts) / ((reference_counts + 0.5) / (reference_texts + 1))
    z = np.zeros(len(counts))
    for sign, count, size in ((1, counts, texts), (-1, reference_counts, reference_texts)):
        hits, misses = count + prior * pooled, size - count + prior * (1 - pooled)
        z += sign * np.log(hits / np.maximum(misses, 1e-9))
    variance = sum(
        1 / (count + prior * pooled) + 1 / np.maximum(size - count + prior * (1 - pooled), 1e-9)
        for count, size in ((counts, texts), (reference_counts, reference_texts))
    )
    z /= np.sqrt(variance)
    share, least = texts / total, counted_from(texts)
    tail = bdtrc(counts - 1, both, share)
    chosen = bdtrc(np.minimum(least, counts) - 1, both, share)
    p = np.divide(tail, chosen, out=np.zeros_like(tail), where=chosen > 0)
    return Test(ratio, z, benjamini_hochberg(np.minimum(p, 1.0)))


def tics_of(
    side: Side,
    reference: Side | None,
    *,
    shortest: int = 2,
    longest: int = 6,
    telling: Callable[[Codes], npt.NDArray[np.bool_]] | None = None,
) -> list[Tic]:
    """The listed n-grams of `shortest` to `longest` words, and longer ones where those run on; most frequent first.

    With a reference those that `Test.listed` lists. Without one, the most frequent of three words and more.
    `telling` says which rows of a matrix (m, n) of n-grams are looked at; all, where it is not given.
    """
    grams = []
    for found in mine(side.words, shortest=shortest, longest=longest, least=counted_from(side.texts)):
        tells = telling(found.codes) if telling else np.ones(len(found.codes), np.bool_)
        grams.append(Grams(found.codes[tells], found.rows[tells]))
    counts = {tuple(row): int(n) for g in grams for row, n in zip(g.codes.tolist(), g.rows, strict=True)}
    adjusted = _listed(side, reference, grams, counts)
    kept = _maximal({gram: counts[gram] for gram in adjusted})
    chosen = _joined(side.words, kept, counts, longest)
    if reference is None:
        chosen = dict(sorted(chosen.items(), key=lambda item: (-counts[item[1]], item[0]))[:MOST_WITHOUT_REFERENCE])
    return _measured(side, reference, chosen, adjusted)


def _listed(
    side: Side, reference: Side | None, grams: Sequence[Grams], counts: Mapping[Gram, int]
) -> dict[Gram, float]:
    """gram → adjusted p (1.0 where there is no reference) of what is frequent enough, and not by chance."""
    if reference is None:
        least = least_count(side.texts)
        return {gram: 1.0 for gram, count in counts.items() if count >= least and len(gram) > 2}
    if not counts:
        return {}
    own = np.fromiter(counts.values(), np.int64, len(counts))
    found, _ = occurrences(reference.words, [g.codes for g in grams])
    theirs = np.bincount(found, minlength=len(own)).astype(np.int64)
    test = against(own, side.texts, theirs, reference.texts)
    chosen = test.listed(own, side.texts)
    return {gram: float(p) for gram, p, is_one in zip(counts, test.adjusted_p, chosen, strict=True) if is_one}


def _maximal(counts: Mapping[Gram, int]) -> set[Gram]:
    """Without those that a longer one stands for, and without a tic that goes on for a word or two in some texts."""
    dropped: set[Gram] = set()
    for gram, count in counts.items():
        one_less, two_less = (gram[:-1], gram[1:]), (gram[:-2], gram[1:-1], gram[2:])
        dropped.update(part for part in one_less if count >= SAME * counts.get(part, math.inf))
        if any(count < SAME * counts.get(part, 0) for part in (*one_less, *two_less)):
            dropped.add(gram)
    return set(counts) - dropped


def _joined(words: Words, kept: set[Gram], counts: Mapping[Gram, int], longest: int) -> dict[Gram, Gram]:
    """phrase → the gram it was found by: grams of the greatest length that overlap in all but a word are one phrase."""
    whole = sorted(gram for gram in kept if len(gram) == longest)
    by_start: dict[Gram, list[Gram]] = {}
    for gram in whole:
        by_start.setdefault(gram[:-1], []).append(gram)
    follows: dict[Gram, Gram] = {}
    for gram in whole:
        after = [other for other in by_start.get(gram[1:], []) if _alike(counts[gram], counts[other])]
        if len(after) == 1 and after[0] != gram:
            follows[gram] = after[0]
    followers = set(follows.values())
    chains = [_chain(gram, follows) for gram in whole if gram not in followers]
    phrases = [chain[0] + tuple(gram[-1] for gram in chain[1:]) for chain in chains]
    numbers = _counts(words, phrases)
    joined = {
        phrase: chain
        for chain, phrase, number in zip(chains, phrases, numbers, strict=True)
        if len(chain) > 1 and number >= SAME * min(counts[gram] for gram in chain)
    }
    parts = {gram for chain in joined.values() for gram in chain}
    return {gram: gram for gram in kept - parts} | {phrase: chain[0] for phrase, chain in joined.items()}


def _alike(one: int, other: int) -> bool:
    return min(one, other) >= SAME * max(one, other)


def _chain(gram: Gram, follows: Mapping[Gram, Gram]) -> list[Gram]:
    chain = [gram]
    while chain[-1] in follows and follows[chain[-1]] not in chain and len(gram) + len(chain) <= LONGEST_JOINED:
        chain.append(follows[chain[-1]])
    return chain


def _measured(
    side: Side, reference: Side | None, chosen: Mapping[Gram, Gram], adjusted: Mapping[Gram, float]
) -> list[Tic]:
    phrases = list(chosen)
    rows = rows_of(side.words, phrases)
    counts = np.array([len(found) for found in rows], np.int64)
    if reference is None or not phrases:
        tics = [Tic(phrase, found, None, None, None, None) for phrase, found in zip(phrases, rows, strict=True)]
    else:
        theirs = np.array(_counts(reference.words, phrases), np.int64)
        test = against(counts, side.texts, theirs, reference.texts)
        tics = [
            Tic(phrase, rows[i], int(theirs[i]), float(test.ratio[i]), float(test.z[i]), adjusted[chosen[phrase]])
            for i, phrase in enumerate(phrases)
        ]
    return sorted(tics, key=lambda tic: (-len(tic.rows), tic.gram))


def rows_of(words: Words, phrases: Sequence[Gram]) -> list[Ints]:
    """Of each phrase the rows that hold it."""
    by_length: dict[int, list[int]] = {}
    for number, phrase in enumerate(phrases):
        by_length.setdefault(len(phrase), []).append(number)
    matrices: list[Codes] = [np.array([phrases[i] for i in numbers], np.int32) for numbers in by_length.values()]
    order = [i for numbers in by_length.values() for i in numbers]
    found, rows = occurrences(words, matrices)
    parts = np.split(rows, np.searchsorted(found, np.arange(1, len(order))))
    return [part for _, part in sorted(zip(order, parts, strict=False), key=lambda pair: pair[0])]


def _counts(words: Words, phrases: Sequence[Gram]) -> list[int]:
    return [len(rows) for rows in rows_of(words, phrases)]
