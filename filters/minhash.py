"""Which texts of a collection are nearly the same as a given one: MinHash proposes, exact Jaccard decides.

Signatures and buckets are datasketch's (`MinHash(scheme="affine32")`, `MinHashLSH`). Every candidate is
confirmed by the exact Jaccard similarity of the two shingle sets, so what is found is right; what is missed
is bounded by the bands (see `Sketching.bands`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from datasketch import MinHash, MinHashLSH

from .shingles import Shingles, shingle_sets
from .verdict import FilterError

_RECALL = 0.99  # of the pairs that lie .05 above the threshold, at least this share must become candidates
_MARGIN = 0.05
# A batch of 16,384 shingles under 128 permutations takes 8 MiB: one 50 MB text must not take gigabytes.
_BATCH = 16_384


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
        if self.seed >= 2**32:
            raise FilterError(
                what=f"seed is {self.seed}",
                why="it seeds a 32-bit generator",
                do="give a whole number below 4294967296 (2**32)",
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Sketch(NamedTuple):
    """One text, ready to be compared."""

    shingles: Shingles
    minhash: MinHash


class Similar(NamedTuple):
    jaccard: float
    number: int


class Sketcher:
    """Turns texts into sketches under one `Sketching`."""

    def __init__(self, sketching: Sketching) -> None:
        self._ngram = sketching.ngram
        # The 64-bit shingle hash ends in its own 32-bit hash: datasketch is given that as it is.
        self._empty = MinHash(num_perm=sketching.num_perm, seed=sketching.seed, scheme="affine32", hashfunc=int)

    def sketches(self, texts: Iterable[str | None]) -> list[Sketch | None]:
        """One sketch per text; None for a null or blank text."""
        return [
            None if shingles is None else Sketch(shingles, self._minhash(shingles))
            for shingles in shingle_sets(texts, self._ngram)
        ]

    def _minhash(self, shingles: Shingles) -> MinHash:
        hashes = shingles.astype(np.uint32)  # keeps the low 32 bits
        minhash = self._empty.copy()
        for start in range(0, len(hashes), _BATCH):
            minhash.update_batch(hashes[start : start + _BATCH].tolist())
        return minhash


class Neighbours:
    """Distinct shingle sets, numbered as they came, and which of them are similar to a given one."""

    def __init__(self, sketching: Sketching) -> None:
        self._threshold = sketching.threshold
        self._lsh = _new_lsh(sketching)
        self._sets: list[Shingles] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, sketch: Sketch) -> int:
        """The set's number; a set that is already there keeps the one it has, so n copies cost one entry."""
        number = self._numbers.setdefault(sketch.shingles.tobytes(), len(self._sets))
        if number == len(self._sets):
            self._sets.append(sketch.shingles)
            self._lsh.insert(number, sketch.minhash, check_duplication=False)
        return number

    def similar(self, sketch: Sketch) -> list[Similar]:
        """Every candidate of exact Jaccard from the threshold up, itself too; best first, ties by number."""
        candidates: list[int] = sorted(self._lsh.query(sketch.minhash))
        ratios = jaccards(sketch.shingles, [self._sets[number] for number in candidates])
        found = [Similar(ratio, number) for ratio, number in zip(ratios, candidates, strict=True)]
        return sorted(
            (similar for similar in found if similar.jaccard >= self._threshold),
            key=lambda similar: (-similar.jaccard, similar.number),
        )


def jaccards(one: Shingles, many: list[Shingles]) -> list[float]:
    """|A ∩ B| / |A ∪ B| of one set with each of many."""
    shared = [len(np.intersect1d(one, other, assume_unique=True)) for other in many]
    return [count / (len(one) + len(other) - count) for count, other in zip(shared, many, strict=True)]


def text_hash(text: str) -> bytes:
    """16 bytes of BLAKE2b over the text; lone surrogates are allowed."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _new_lsh(sketching: Sketching) -> MinHashLSH:
    # datasketch draws a name for its storage from the global generator; a pure function must not move that.
    state = random.getstate()
    try:
        return MinHashLSH(num_perm=sketching.num_perm, params=sketching.bands())
    finally:
        random.setstate(state)


class MinHashIndex:
    """Texts of earlier rounds, by key, that later ones are compared with, without reading them again.

    It lies in memory: 8 bytes for each distinct shingle of each distinct text, and its place in every band.
    """

    def __init__(self, *, threshold: float = 0.7, ngram: int = 5, num_perm: int = 128, seed: int = 1) -> None:
        self.sketching = Sketching(threshold=threshold, ngram=ngram, num_perm=num_perm, seed=seed)
        self._sketcher = Sketcher(self.sketching)
        self._neighbours = Neighbours(self.sketching)
        self._first_keys: list[str] = []  # of each distinct shingle set, the key that brought it
        self._keys: set[str] = set()

    def __len__(self) -> int:
        """How many keys were added, those of null and blank texts included."""
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[str], texts: pl.Series | Iterable[str | None]) -> None:
        """Adds each text under its key. A null or blank text takes its key but is like no other text.

        Raises FilterError, and adds nothing, where a key is not a str or is there already, or where there are
        not as many keys as texts.
        """
        new_texts = text_list(texts)
        new_keys = self._checked_keys(list(keys), len(new_texts))
        for key, sketch in zip(new_keys, self._sketcher.sketches(new_texts), strict=True):
            if sketch is not None and self._neighbours.add(sketch) == len(self._first_keys):
                self._first_keys.append(key)
        self._keys.update(new_keys)

    def query(self, texts: pl.Series | Iterable[str | None]) -> pl.DataFrame:
        """`twin_key`, `jaccard` (Float32): the most similar text from the threshold up, or nulls.

        One row per text, in order. Where several are equally similar it is the one added first.
        """
        sketches = self._sketcher.sketches(text_list(texts))
        found = [None if sketch is None else self.nearest(sketch) for sketch in sketches]
        schema = {"twin_key": pl.String, "jaccard": pl.Float32}
        return pl.DataFrame([hit or (None, None) for hit in found], schema=schema, orient="row")

    def nearest(self, sketch: Sketch) -> tuple[str, float] | None:
        """Key and Jaccard of the most similar text from the threshold up."""
        similar = self._neighbours.similar(sketch)
        return (self._first_keys[similar[0].number], similar[0].jaccard) if similar else None

    def _checked_keys(self, keys: list[str], count: int) -> list[str]:
        if len(keys) != count:
            raise FilterError(
                what=f"{len(keys)} keys came with {count} texts",
                why="every text is found again by its own key",
                do="give exactly one key for each text",
            )
        seen: set[Any] = set()
        for row, key in enumerate(keys):
            if not isinstance(key, str):
                raise FilterError(
                    what=f"key {row} is {_shown(key)}, of type {type(key).__name__}",
                    why="a key is reported as `twin_key`, a column of strings",
                    do="give every key as a str",
                )
            if key in self._keys or key in seen:
                raise FilterError(
                    what=f"key {row}, {key!r}, is in the index already",
                    why="a key must name one text, or a twin could not be told from another",
                    do="add each text once, under a key of its own",
                )
            seen.add(key)
        return keys

    def check_same(self, sketching: Sketching) -> None:
        """Refuses to be compared under other settings than its own."""
        own, asked = asdict(self.sketching), asdict(sketching)
        differing = [name for name in own if own[name] != asked[name]]
        if differing:
            built, wanted = _named(own, differing), _named(asked, differing)
            raise FilterError(
                what=f"`against` was built with {built}, and {wanted} is asked for",
                why="texts can only be compared when they were cut and sketched in the same way",
                do=f"pass {built} here, or build the index anew with {wanted}",
            )


def _named(values: dict[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={values[name]!r}" for name in names)


def text_list(texts: pl.Series | Iterable[str | None]) -> list[str | None]:
    """The texts as a list, or FilterError where they are not a column of texts."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise FilterError(
            what=f"texts is {_shown(texts)}, of type {type(texts).__name__}",
            why="it must be a column: a polars Series, or any iterable of str and None",
            do="wrap a single text in a list: [text]",
        )
    rows = list(texts)
    for row, text in enumerate(rows):
        if text is not None and not isinstance(text, str):
            raise FilterError(
                what=f"text {row} is {_shown(text)}, of type {type(text).__name__}",
                why="only text can be cut into words",
                do="give every text as a str, or None where there is none",
            )
    return rows


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
