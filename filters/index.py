"""Texts of earlier rounds, that later ones are compared with without reading them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .backend import backend
from .columns import TextColumn, in_threads, shown
from .minhash import Sketches, Sketching, sketch
from .shelf import Shelf, merged, read_shelf, write_shelf
from .shingles import ShingleColumn, shingle_columns
from .verdict import FilterError

MOST_PER_BUCKET = 512
"""So many texts of one bucket are compared with a query: more share a band only where it is all scaffolding."""

_ROWS_AT_ONCE = 2048


class MinHashIndex:
    """Texts by key, in memory or in one file that is mapped into it, to be queried and extended.

    It holds, for each distinct set of shingles, every shingle hash (8 bytes each), so that what is found is confirmed
    by exact Jaccard similarity; its place in every band; and the key that brought it. It holds no text.
    """

    def __init__(self, *, threshold: float = 0.7, ngram: int = 5, num_perm: int = 128, seed: int = 1) -> None:
        self.sketching = Sketching(threshold=threshold, ngram=ngram, num_perm=num_perm, seed=seed)
        self._shelves: list[Shelf] = []
        self._known: set[str] | None = set()

    @classmethod
    def open(cls, path: str | PathLike[str]) -> MinHashIndex:
        """The index that `save` wrote, mapped into memory and read once to verify its checksum.

        Raises FilterError for a file that is missing, damaged, cut short, of another kind or of another version.
        """
        settings, shelf = read_shelf(path)
        index = cls(**settings)
        index._shelves, index._known = [shelf], None
        return index

    def save(self, path: str | PathLike[str]) -> None:
        """Writes one file, whole or not at all; equal additions give equal bytes. Raises OSError from the disk."""
        write_shelf(path, asdict(self.sketching), self._merge_all())

    def __len__(self) -> int:
        """How many keys were added, those of null and blank texts included."""
        return sum(shelf.keys for shelf in self._shelves)

    def __contains__(self, key: object) -> bool:
        return key in self._keys()

    def add(self, keys: Iterable[str], texts: pl.Series | Iterable[str | None]) -> None:
        """Adds each text under its key. A null or blank text takes its key but is like no other text.

        Raises FilterError, and adds nothing, where a key is not a str or is there already, or where there are
        not as many keys as texts.
        """
        column = TextColumn(texts)
        new_keys = self._checked_keys(_listed(keys), len(column))
        if not new_keys:
            return
        sketches = sketch(column, self.sketching)
        firsts = self._firsts(sketches)
        sets = shingle_columns(column.take(firsts), self.sketching.ngram)
        self._shelves.append(Shelf.of(new_keys, firsts, sketches.identities[firsts], sets, sketches.bands[firsts]))
        # As in a log-structured merge: each shelf is at least twice as large as the next, so there are few.
        while len(self._shelves) > 1 and self._shelves[-2].keys < 2 * self._shelves[-1].keys:
            self._shelves[-2:] = [merged(self._shelves[-2:])]
        self._keys().update(new_keys)

    def query(self, texts: pl.Series | Iterable[str | None]) -> pl.DataFrame:
        """`twin_key`, `jaccard` (Float32): the most similar text from the threshold up, or nulls.

        One row per text, in order. Where several are equally similar it is the one added first. Where more than
        512 texts share a band, the first 512 of them are compared.
        """
        column = TextColumn(texts)
        sketches = sketch(column, self.sketching)
        found, ratios = self.nearest(column, np.where((sketches.sizes > 0)[:, None], sketches.bands, 0), sketches.sizes)
        frame = pl.DataFrame({"jaccard": ratios, "found": found >= 0})
        names = pl.Series("twin_key", self.keys_at(found), dtype=pl.String)
        return frame.select(names, pl.when("found").then("jaccard").cast(pl.Float32))

    def nearest(
        self, column: TextColumn, bands: NDArray[np.uint32], sizes: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of each text the number of the key it copies, or -1, and the Jaccard; `bands` (texts, b) are its sketch."""
        found, ratios = np.full(len(column), -1, np.int64), np.full(len(column), -1.0)
        touched = np.zeros(len(column), np.bool_)
        for shelf in self._shelves:
            touched |= self._touched(shelf, bands)
        if sizes is not None:
            touched &= sizes > 0
        rows = np.flatnonzero(touched)
        sets = shingle_columns(column.take(rows), self.sketching.ngram)
        first_key = 0
        for shelf in self._shelves:
            numbers, similar = self._nearest_in(shelf, sets, bands[rows])
            better = (numbers >= 0) & (similar > ratios[rows])  # of equals the one on the earlier shelf
            found[rows[better]] = first_key + shelf.key_of[numbers[better]]
            ratios[rows[better]] = similar[better]
            first_key += shelf.keys
        return found, ratios

    def keys_at(self, numbers: NDArray[np.int64]) -> list[str | None]:
        """The key of each number; None for -1."""
        out: list[str | None] = [None] * len(numbers)
        ends = np.cumsum([shelf.keys for shelf in self._shelves])
        for row in np.flatnonzero(numbers >= 0).tolist():
            shelf = int(np.searchsorted(ends, numbers[row], "right"))
            out[row] = self._shelves[shelf].key(int(numbers[row] - ends[shelf] + self._shelves[shelf].keys))
        return out

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

    def _touched(self, shelf: Shelf, bands: NDArray[np.uint32]) -> NDArray[np.bool_]:
        out = np.zeros(len(bands), np.bool_)

        def work(start: int) -> None:
            part = slice(start, start + _ROWS_AT_ONCE)
            backend().touched_rows(bands[part], shelf.hashes, shelf.orders, out[part])

        in_threads(work, range(0, len(bands), _ROWS_AT_ONCE))
        return out

    def _nearest_in(
        self, shelf: Shelf, sets: ShingleColumn, bands: NDArray[np.uint32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        found, ratios = np.full(len(bands), -1, np.int64), np.full(len(bands), -1.0)
        table = (shelf.hashes, shelf.orders, shelf.values, shelf.offsets)

        def work(start: int) -> None:
            part = slice(start, start + _ROWS_AT_ONCE)
            offsets = sets.offsets[start : start + _ROWS_AT_ONCE + 1]
            settings = (float(self.sketching.threshold), MOST_PER_BUCKET)
            backend().nearest_rows(sets.values, offsets, bands[part], *table, *settings, found[part], ratios[part])

        in_threads(work, range(0, len(bands), _ROWS_AT_ONCE))
        return found, ratios

    def _firsts(self, sketches: Sketches) -> NDArray[np.int64]:
        """The first row of each distinct set that is not in the index yet, ascending."""
        order = np.arange(len(sketches.sizes))
        numbers, firsts = np.full(len(order), -1, np.int64), np.full(len(order), -1, np.int64)
        count = backend().number_sets(sketches.identities, sketches.sizes, order, numbers, firsts)
        rows = firsts[:count]
        fresh = np.ones(len(rows), np.bool_)
        for shelf in self._shelves:
            fresh &= ~shelf.has(sketches.identities[rows])
        return rows[fresh]

    def _merge_all(self) -> Shelf:
        if len(self._shelves) != 1:
            bands, _ = self.sketching.bands()
            self._shelves = [merged(self._shelves, bands)]
        return self._shelves[0]

    def _keys(self) -> set[str]:
        if self._known is None:
            self._known = {shelf.key(number) for shelf in self._shelves for number in range(shelf.keys)}
        return self._known

    def _checked_keys(self, keys: list[str], count: int) -> list[str]:
        if len(keys) != count:
            raise FilterError(
                what=f"{len(keys)} keys came with {count} texts",
                why="every text is found again by its own key",
                do="give exactly one key for each text",
            )
        known, seen = self._keys(), set[Any]()
        for row, key in enumerate(keys):
            if not isinstance(key, str):
                raise FilterError(
                    what=f"key {row} is {shown(key)}, of type {type(key).__name__}",
                    why="a key is reported as `twin_key`, a column of strings",
                    do="give every key as a str",
                )
            if key in known or key in seen:
                raise FilterError(
                    what=f"key {row}, {key!r}, is in the index already",
                    why="a key must name one text, or a twin could not be told from another",
                    do="add each text once, under a key of its own",
                )
            if not key.isascii() and any("\ud800" <= char < "\ue000" for char in key):
                raise FilterError(
                    what=f"key {row}, {key!r}, holds half a character (a lone surrogate)",
                    why="a key is reported as `twin_key`, and a column of strings cannot hold it",
                    do="give a key of whole characters",
                )
            seen.add(key)
        return keys


def _listed(keys: object) -> list[Any]:
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise FilterError(
            what=f"keys is {shown(keys)}, of type {type(keys).__name__}",
            why="every text is found again by its own key",
            do="give an iterable of str, one for each text",
        )
    return list(keys)


def _named(values: dict[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={values[name]!r}" for name in names)
