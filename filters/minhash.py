"""MinHash signatures of texts, bit for bit those of datasketch's `MinHash(scheme="affine32")`, and their bands.

Signatures propose which texts may be nearly the same; exact Jaccard decides, so what is found is right, and what is
missed is bounded by the bands (see `Sketching.bands`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .backend import backend
from .characters import characters
from .columns import Chunk, TextColumn, each_chunk, in_threads
from .shingles import ShingleColumn, lowered_sigmas, shingle_columns
from .verdict import FilterError

if TYPE_CHECKING:
    from datasketch import MinHash

_RECALL = 0.99  # of the pairs that lie .05 above the threshold, at least this share must become candidates
_MARGIN = 0.05
_SETS_AT_ONCE = 4096


@dataclass(frozen=True)
class Sketching:
    """What decides whether two texts count as near duplicates; two collections compare under one only."""

    threshold: float = 0.7
    ngram: int = 5
    num_perm: int = 128
    seed: int = 1

    def __post_init__(self) -> None:
        if not _is_number(self.threshold) or not 0 < self.threshold <= 1:
            raise FilterError(
                what=f"threshold is {self.threshold!r}",
                why="it is the Jaccard similarity from which a text counts as a copy: above 0, at most 1",
                do="give a threshold such as 0.7",
            )
        self._check_whole("ngram", at_least=1, why="a shingle is that many words", usual=5)
        self._check_whole("num_perm", at_least=2, why="the signature is cut into at least two bands", usual=128)
        self._check_whole("seed", at_least=0, why="it seeds a 32-bit generator", usual=1)
        for name, why in (("seed", "it seeds a 32-bit generator"), ("ngram", "no text has so many words")):
            if getattr(self, name) >= 2**32:
                raise FilterError(
                    what=f"{name} is {getattr(self, name)}", why=why, do="give a whole number below 4294967296 (2**32)"
                )

    def _check_whole(self, name: str, *, at_least: int, why: str, usual: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
            raise FilterError(
                what=f"{name} is {value!r}",
                why=why,
                do=f"give a whole number of at least {at_least}, such as {usual}",
            )

    def bands(self) -> tuple[int, int]:
        """(b, r): the largest r whose b = num_perm // r bands of r find 99 % of the pairs at threshold + .05.

        A pair of Jaccard s shares a band with probability 1 - (1 - s^r)^b: 25 bands of 5 for a threshold of
        .7 and 128 permutations find 99.9 % at .75 (datasketch's own optimum, 14 of 9, finds 87 % at .8). From
        a threshold of .9 up the aim is half-way to 1, because at 1 any r would do.
        """
        aim = min(self.threshold + _MARGIN, (1 + self.threshold) / 2)
        rows = range(self.num_perm // 2, 1, -1)  # datasketch wants two bands or more
        r = next((r for r in rows if 1 - (1 - aim**r) ** (self.num_perm // r) >= _RECALL), 1)
        return self.num_perm // r, r

    def least_agreeing(self) -> int:
        """So many equal minima have all but 1 in 30,000 of the pairs at the threshold (four standard deviations)."""
        spread = math.sqrt(self.num_perm * self.threshold * (1 - self.threshold))
        return max(0, math.floor(self.num_perm * self.threshold - 4 * spread) - 2)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def minhash_signatures(
    texts: pl.Series | Iterable[str | None], *, ngram: int = 5, num_perm: int = 128, seed: int = 1
) -> NDArray[np.uint32]:
    """The signature of each text, (texts, num_perm) uint32; all 2**32 - 1 for a null or blank one.

    They are those of `datasketch.MinHash(num_perm, seed, scheme="affine32")` over the low 32 bits of the shingle
    hashes (see `filters/shingles.py`): `datasketch_minhashes` makes such objects of them. Raises FilterError for
    arguments that cannot be used.
    """
    sketching = Sketching(ngram=ngram, num_perm=num_perm, seed=seed)
    column = TextColumn(texts)
    out = np.empty((len(column), num_perm), np.uint32)
    for first, end in column.spans():
        part = column.take(np.arange(first, end))
        out[first:end] = signatures_of(shingle_columns(part, ngram), sketching)
    return out


def datasketch_minhashes(signatures: NDArray[np.uint32], *, seed: int = 1) -> Iterator[MinHash]:
    """A `datasketch.MinHash` of each signature, to put into its `MinHashLSH` or to compare with others of the seed."""
    from datasketch import MinHash  # half a second, and needed here only

    for signature in signatures:
        yield MinHash(
            num_perm=len(signature), seed=seed, hashvalues=signature, scheme="affine32", hashfunc=_low_32_bits
        )


def _low_32_bits(shingle: int) -> int:
    return shingle & 0xFFFFFFFF


@lru_cache(maxsize=8)
def permutations(num_perm: int, seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Factors and terms of h → factor * h + term modulo 2^32, drawn as datasketch draws them (`MinHash`, 2.0)."""
    generator = np.random.RandomState(seed)
    factors = generator.randint(0, 1 << 31, num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, generator.randint(0, 1 << 32, num_perm, dtype=np.uint32)


def signatures_of(sets: ShingleColumn, sketching: Sketching) -> NDArray[np.uint32]:
    """The signature of each set, (sets, num_perm)."""
    out = np.empty((len(sets.offsets) - 1, sketching.num_perm), np.uint32)

    def sign(start: int) -> None:
        offsets = sets.offsets[start : start + _SETS_AT_ONCE + 1]
        part = out[start : start + _SETS_AT_ONCE]
        backend().signature_rows(sets.values, offsets, *permutations(sketching.num_perm, sketching.seed), part)

    in_threads(sign, range(0, len(out), _SETS_AT_ONCE))
    return out


class Sketches(NamedTuple):
    """What is known of each text without holding its shingles."""

    contents: NDArray[np.uint64]  # a hash of the text as it was given
    identities: NDArray[np.uint64]  # (texts, 2), equal where the sets of shingles are
    sizes: NDArray[np.int64]  # of the sets; 0 for a null or blank text
    bands: NDArray[np.uint32]  # (texts, b), a hash of each band


def sketch(column: TextColumn, sketching: Sketching) -> Sketches:
    """Reads the column once: the sketch of each text."""
    rows, (bands, per_band) = len(column), sketching.bands()
    sketches = Sketches(
        np.empty(rows, np.uint64),
        np.empty((rows, 2), np.uint64),
        np.zeros(rows, np.int64),
        np.empty((rows, bands), np.uint32),
    )

    def work(chunk: Chunk) -> None:
        part = slice(chunk.first, chunk.first + len(chunk.offsets) - 1)
        contents, identities, sizes, hashes = (array[part] for array in sketches)
        backend().content_rows(chunk.data, chunk.offsets, contents)
        cut = lowered_sigmas(chunk)
        numbers = permutations(sketching.num_perm, sketching.seed)
        settings = (sketching.ngram, *numbers, per_band)
        backend().sketch_rows(cut.data, cut.offsets, *characters(), *settings, identities, sizes, hashes)

    each_chunk(column, work)
    return sketches
