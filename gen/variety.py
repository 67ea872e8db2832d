"""texts or vectors → measures of how varied they are, one by one: each a number that a second way could compute."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold import filters
from thousandfold.filters.ngrams import grams_of, words_of
from thousandfold.filters.statistics import Richness, chao1

from .neighbours import Vectors, nearest

IDEA_COSINE = 0.8
"""From here up two answers count as one idea. The offline embedder sees shared words and pairs of words: answers of the
same sentences in another order lie above it, and answers to one question in other words below."""
NEAR_SHARE = 0.05
_EXACT = 2.0**53  # whole numbers up to here are exact in float64
_ROUNDING = 0.05  # by which a cosine of int8 vectors may differ from that of the numbers they were rounded from
_NAMED = 1 << 15  # steps of a vector's length that tell two apart
_TEXTS = 1 << 14  # that are cut into words at once: bounds memory

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Spectrum(NamedTuple):
    """Vendi score and RKE, 1 to the number of dimensions."""

    vendi: float
    rke: float


def spectrum(vectors: Floats) -> Spectrum | None:
    """Of (n, d) vectors of unit length; rows of zeros are like nothing, and left out. None of no other.

    From the d x d matrix X'X / n, whose spectrum is that of the n x n matrix of cosines. The matrix is one of whole
    numbers, so that it is the same with any number of threads.
    """
    whole = np.rint(vectors * np.floor(np.sqrt(_EXACT / max(1, len(vectors)))))
    products = whole.T @ whole
    trace = float(products.trace())
    if not trace:
        return None
    shares = np.linalg.eigvalsh(products / trace)
    shares = shares[shares > 1e-12]
    shares /= shares.sum()
    return Spectrum(float(np.exp(-(shares * np.log(shares)).sum())), 1 / float(((products / trace) ** 2).sum()))


def distances(vectors: Vectors) -> Floats:
    """1 - cosine of each row with the other that is most like it: exact up to 40,000 rows, else by inverted lists.

    `vectors` are at least two rows of int8; a row of zeros is at distance 1 from all.
    """
    found = nearest(vectors, 2)
    others = found.rows != np.arange(len(vectors))[:, None]
    place = np.where(others[:, 0] & (found.dots[:, 0] >= found.dots[:, 1]) | ~others[:, 1], 0, 1)[:, None]
    other = np.take_along_axis(found.rows, place, axis=1)[:, 0]
    dots = np.take_along_axis(found.dots, place, axis=1)[:, 0]
    lengths = np.sqrt((vectors.astype(np.int64) ** 2).sum(axis=1))
    apart: Floats = 1 - dots / np.maximum(lengths * lengths[other], 1.0)
    return apart


def ideas(vectors: Floats, apart: Floats) -> Richness:
    """Clusters of (n, d) vectors of unit length, and Chao's estimate of how many there are.

    A row joins the nearest idea whose first row has a cosine of `IDEA_COSINE` and more with it. `apart` are the
    `distances`: a row that is like no other is an idea of its own, and need not be compared again.
    """
    close = vectors[apart <= 1 - IDEA_COSINE + _ROUNDING]
    # The clusters go by vectors alone: each stands for its text, so that equal ones are one. Their order too, and so
    # they are named by whole numbers: the last bits of a float are not the same on every processor.
    names = [blake2b(row.tobytes(), digest_size=16).hexdigest() for row in np.rint(close * _NAMED).astype(np.int32)]
    known = dict(zip(names, close, strict=True))
    twins = filters.same_meaning(names, threshold=IDEA_COSINE, embedder=lambda some: [known[name] for name in some])
    counts = pl.select(_leaders(twins)).to_series().value_counts()["count"].to_numpy().astype(np.int64)
    return chao1(np.concatenate([counts, np.ones(len(vectors) - len(close), np.int64)]))


def idea_numbers(texts: pl.Series) -> pl.Series:
    """A number for each text, shared by those whose vectors lie next to each other: one idea in several wordings."""
    return pl.select(_leaders(filters.same_meaning(texts, threshold=IDEA_COSINE))).to_series()


def _leaders(twins: pl.DataFrame) -> pl.Expr:
    return pl.coalesce(twins["twin"], pl.int_range(twins.height, dtype=pl.UInt32, eager=True))


def distinct(texts: pl.Series, length: int) -> float | None:
    """Different runs of `length` words over all of them; None where there is none."""
    parts, total = [np.empty(0, np.uint64)], 0
    for part in _parts(texts):
        hashes = grams_of(words_of(part), length).hashes
        total += len(hashes)
        parts.append(_different(hashes))
    return len(_different(np.concatenate(parts))) / total if total else None


def _parts(texts: pl.Series) -> Iterator[pl.Series]:
    return (texts.slice(start, _TEXTS) for start in range(0, len(texts), _TEXTS))


def _different(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each once; sorted, which takes a third of the time of np.unique's table."""
    ordered = np.sort(hashes)
    kept: npt.NDArray[np.uint64] = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
    return kept
