"""texts and reference → can they be told apart, and by which words? A classifier two-sample test (T7). Needs all rows.

Logistic regression on hashed words and pairs of words, held to texts it was not fitted on: an area under the ROC
curve of 0.5 says that the two cannot be told apart (Lopez-Paz and Oquab, arXiv 1610.06545). Its greatest weights are
the words that give the texts away. It reports; floats decide nothing here.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from .statistics import Interval
from .tics_ngrams import BREAK, Ints, Vocabulary, Words

FEATURES = 1 << 15
FOLDS = 5
LEAST_TEXTS = 20
"""On each side: with fewer, a fold would hold next to nothing."""
MOST_TEXTS = 2000
LEAST_ROWS = 3  # of both sides: a rarer feature tells of nothing but its own text
TOP_WORDS = 20
STEPS = 60  # the error falls by e about every √(curvature) / 2 ≈ 6 steps
RIDGE = 1.0  # on rows of length 1; sklearn's default strength

Floats = npt.NDArray[np.float64]
_FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)
_Z95 = 1.959964
# The models of the folds share most of their texts, so their errors go together: Nadeau and Bengio (2003) add the share
# of test to training texts to each 1 / FOLDS. Without it, halves of one corpus seem different too often.
_OVERLAP = 1 + FOLDS / (FOLDS - 1)
_SURELY = 3.09 / _Z95  # half intervals from 0.5: one chance in a thousand


class Apart(NamedTuple):
    """How well the texts are told from the reference, and by what."""

    auc: float
    interval: Interval  # 95 %, DeLong's, widened for the overlap of the folds
    telling: list[tuple[int, ...]]  # words and pairs that speak for the texts, the strongest first


class Features(NamedTuple):
    """Words and pairs of words of each text, hashed; each counted once a text, rows scaled to length 1."""

    matrix: Any  # scipy CSR, (rows, FEATURES)
    grams: npt.NDArray[np.int64]  # (m, 2) words of each distinct feature met; BREAK for a single word
    places: Ints  # (m,) its column
    counts: Ints  # (m,) in how many places it stands


def features(words: Words, vocabulary: Vocabulary) -> Features:
    """`words` without signs. A feature's column is a hash of its letters: the same on every machine."""
    from scipy.sparse import csr_array

    hashes = np.array([crc32(word.encode("utf-8", "surrogatepass")) for word in vocabulary.words], np.uint64)
    here = words.codes != BREAK
    codes, rows = words.codes[here].astype(np.int64), words.rows[here].astype(np.int64)
    pair = np.flatnonzero((words.codes[:-1] != BREAK) & (words.codes[1:] != BREAK))
    first = np.concatenate([codes, words.codes[pair].astype(np.int64)])
    second = np.concatenate([np.full(len(codes), BREAK, np.int64), words.codes[pair + 1].astype(np.int64)])
    owners = np.concatenate([rows, words.rows[pair].astype(np.int64)])
    keys, where, counts = np.unique(first * (len(vocabulary) + 1) + second + 1, return_inverse=True, return_counts=True)
    grams = np.column_stack([keys // (len(vocabulary) + 1), keys % (len(vocabulary) + 1) - 1])
    mixed = (hashes[grams[:, 0]] + np.uint64(1)) * _FACTOR
    mixed += np.where(grams[:, 1] == BREAK, np.uint64(0), hashes[grams[:, 1]] * np.uint64(2) + np.uint64(1))
    mixed *= _FACTOR
    places = (mixed >> np.uint64(64 - FEATURES.bit_length() + 1)).astype(np.int64)
    cells = np.unique(owners * FEATURES + places[where])
    lengths = np.bincount(cells // FEATURES, minlength=words.height)
    values = 1 / np.sqrt(lengths[cells // FEATURES])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    matrix = csr_array((values, cells % FEATURES, starts), shape=(words.height, FEATURES))
    return Features(matrix, grams, places, counts)


def told_apart(texts: Words, reference: Words, vocabulary: Vocabulary, folds: tuple[Ints, Ints]) -> Apart | None:
    """`texts` against `reference`, both without signs; `folds` gives each text a number by its content.

    None where a side has fewer than `LEAST_TEXTS` texts. Texts of one fold are scored by a model of the others.
    """
    from scipy.sparse import vstack

    if min(texts.height, reference.height) < LEAST_TEXTS:
        return None
    own = features(texts, vocabulary)
    matrix = vstack([own.matrix, features(reference, vocabulary).matrix], format="csr")
    columns = np.flatnonzero(np.bincount(matrix.indices, minlength=FEATURES) >= LEAST_ROWS)
    matrix = matrix[:, columns]
    is_own = np.arange(matrix.shape[0]) < texts.height
    fold = np.concatenate(folds) % FOLDS
    scores = np.zeros(len(is_own))
    for number in range(FOLDS):
        held = fold == number
        scores[held] = matrix[held] @ ridge_logistic(matrix[~held], is_own[~held])
    auc, interval = _auc_within(scores, is_own, fold)
    if auc - _SURELY * (auc - interval.low) <= 0.5:  # nothing tells them apart: the greatest weights are noise
        return Apart(auc, interval, [])
    weights = np.zeros(FEATURES)
    weights[columns] = ridge_logistic(matrix, is_own)
    return Apart(auc, interval, _strongest(own, weights))


def ridge_logistic(matrix: Any, is_own: npt.NDArray[np.bool_]) -> Floats:
    """Weights of a ridge logistic regression in which both classes weigh the same.

    Accelerated gradient descent for a strongly convex loss (Nesterov 2004, 2.2.1): nothing but sparse products, which
    run in one thread and in one order.
    """
    transposed = matrix.T.tocsr()
    sign = np.where(is_own, 1.0, -1.0)
    weights = np.where(is_own, 0.5 / max(1, int(is_own.sum())), 0.5 / max(1, int((~is_own).sum()))) * len(is_own)
    curvature = _largest_eigenvalue(matrix, transposed, weights) / 4 + RIDGE
    momentum = (curvature**0.5 - RIDGE**0.5) / (curvature**0.5 + RIDGE**0.5)
    beta = ahead = np.zeros(matrix.shape[1])
    for _ in range(STEPS):
        slope = -weights * sign / (1 + np.exp(np.minimum(sign * (matrix @ ahead), 500)))
        lower = ahead - (transposed @ slope + RIDGE * ahead) / curvature
        ahead = lower + momentum * (lower - beta)
        beta = lower
    return beta


def _largest_eigenvalue(matrix: Any, transposed: Any, weights: Floats) -> float:
    """Of Xᵀ W X, by power iteration, and a tenth more: what is positive throughout is found from ones."""
    vector, length = np.ones(matrix.shape[1]), 1.0
    for _ in range(12):
        vector = transposed @ (weights * (matrix @ vector))
        length = float(np.sqrt((vector * vector).sum())) or 1.0
        vector = vector / length
    return 1.1 * length


def _auc_within(scores: Floats, is_own: npt.NDArray[np.bool_], fold: Ints) -> tuple[float, Interval]:
    """The AUC of pairs within a fold (models of different folds are on different scales), and its interval."""
    parts = [auc_and_variance(scores[(fold == f) & is_own], scores[(fold == f) & ~is_own]) for f in range(FOLDS)]
    pairs = sum(part[0] for part in parts)
    if not pairs:
        return 0.5, Interval(0.0, 1.0)
    auc = sum(n * value for n, value, _ in parts) / pairs
    half = _Z95 * (_OVERLAP * sum((n / pairs) ** 2 * variance for n, _, variance in parts)) ** 0.5
    return auc, Interval(max(0.0, auc - half), min(1.0, auc + half))


def auc_and_variance(own: Floats, other: Floats) -> tuple[int, float, float]:
    """(number of pairs, share of pairs in which `own` is higher, its variance by DeLong 1988); a tie is half."""
    m, n = len(own), len(other)
    if not m or not n:
        return 0, 0.5, 0.0
    below = (np.searchsorted(np.sort(other), own, "left") + np.searchsorted(np.sort(other), own, "right")) / 2 / n
    above = 1 - (np.searchsorted(np.sort(own), other, "left") + np.searchsorted(np.sort(own), other, "right")) / 2 / m
    variance = (below.var(ddof=1) / m if m > 1 else 0.25) + (above.var(ddof=1) / n if n > 1 else 0.25)
    return m * n, float(below.mean()), float(variance)


def _strongest(own: Features, beta: Floats) -> list[tuple[int, ...]]:
    """Of the columns with the greatest weights, the feature that stands in most of the texts."""
    columns = [int(c) for c in np.argsort(-beta, kind="stable")[: 2 * TOP_WORDS] if beta[c] > 0]
    named: list[tuple[int, ...]] = []
    for column in columns:
        here = np.flatnonzero(own.places == column)
        if len(here):
            first, second = own.grams[here[np.argmax(own.counts[here])]].tolist()
            named.append((first,) if second == BREAK else (first, second))
    return named[:TOP_WORDS]
