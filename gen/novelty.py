"""Which of several situations is least like the earlier ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thousandfold.filters.embed import DIMENSIONS, embed


class Novelty:
    """Which situations were chosen before, by set and facet, in plan order: what new ones should differ from."""

    def __init__(self) -> None:
        self._chosen: dict[tuple[str, str], _Earlier] = {}

    def choose(self, key: tuple[str, str], position: int, candidates: Sequence[str]) -> int:
        """Index of the candidate that is farthest from its nearest earlier situation; the first of equals."""
        vectors = embed(candidates).astype(np.float32)
        earlier = self._chosen.setdefault(key, _Earlier())
        index = int(np.argmin(earlier.nearest(position, vectors))) if len(candidates) > 1 else 0
        earlier.add(position, vectors[index])
        return index


class _Earlier:
    """Situations chosen so far, as rows of a matrix that doubles when it is full."""

    def __init__(self) -> None:
        self._count = 0
        self._positions = np.zeros(16, np.int64)
        self._vectors = np.zeros((16, DIMENSIONS), np.float32)

    def nearest(self, position: int, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The largest dot product of each of `vectors` with a situation up to `position`; 0 where there is none."""
        # Products of int8 vectors of length 127 stay below 2^24: float32 holds them exactly, summed in any order.
        dots = vectors @ self._vectors[: self._count].T
        later = self._positions[: self._count] > position
        dots[:, later] = -np.inf
        return dots.max(axis=1) if not later.all() else np.zeros(len(vectors), np.float32)

    def add(self, position: int, vector: npt.NDArray[np.float32]) -> None:
        if self._count == len(self._positions):
            self._positions = np.concatenate([self._positions, np.zeros_like(self._positions)])
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._positions[self._count] = position
        self._vectors[self._count] = vector
        self._count += 1
