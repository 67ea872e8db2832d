"""texts → int8 vectors: the embedder that needs no model and no network.

Words of four letters and more, and pairs of neighbouring words, are hashed to a coordinate and a sign
(feature hashing: Weinberger et al., arXiv 0902.2206, a sparse form of signed random projection), summed,
scaled to length 127 and rounded. Dot products of two vectors are integers, at most 127² = 16,129 up to
rounding, so they are the same bits on every machine. Cosine is dot / 16,129.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

from .verdict import FilterError

DIMENSIONS = 256
SCALE = 127
_WORD = re.compile(r"\w+")
_BATCH = 4096
_SHORTEST_WORD = 4
_PAIR_FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2^64 / golden ratio: spreads a pair over all bits


def embed(texts: Sequence[str | None], *, dimensions: int = DIMENSIONS) -> npt.NDArray[np.int8]:
    """(n, `dimensions`) int8, one row per text; a null or wordless text is a row of zeros.

    `dimensions` must be a power of two, at least 16; else FilterError.
    """
    if dimensions < 16 or dimensions & (dimensions - 1):
        raise FilterError(
            what=f"dimensions is {dimensions!r}",
            why="a coordinate is so many bits of a hash",
            do=f"give a power of two, at least 16, such as {DIMENSIONS}",
        )
    batches = [_embed_batch(texts[start : start + _BATCH], dimensions) for start in range(0, len(texts), _BATCH)]
    return np.concatenate(batches) if batches else np.zeros((0, dimensions), np.int8)


def _embed_batch(texts: Sequence[str | None], dimensions: int) -> npt.NDArray[np.int8]:
    hashes, rows, long_enough = _words(texts)
    same_text = rows[1:] == rows[:-1]
    pairs = (hashes[:-1] * _PAIR_FACTOR + hashes[1:])[same_text]
    features = _mixed(np.concatenate([hashes[long_enough], pairs]))
    owners = np.concatenate([rows[long_enough], rows[1:][same_text]])
    columns = (features & np.uint64(dimensions - 1)).astype(np.int64)
    signs = np.where(features >> np.uint64(63), 1.0, -1.0)
    sums = np.bincount(owners * dimensions + columns, signs, minlength=len(texts) * dimensions)
    sums = sums.reshape(len(texts), dimensions)  # whole numbers: exact in any order
    lengths = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
    scaled: npt.NDArray[np.int8] = np.rint(sums * SCALE / np.maximum(lengths, 1.0)).astype(np.int8)
    return scaled


def _words(
    texts: Sequence[str | None],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(hash of each word, the text it is from, whether it is long enough to count alone)."""
    known: dict[str, tuple[int, bool]] = {}
    found: list[tuple[int, bool]] = []
    counts = []
    for text in texts:
        words = _WORD.findall((text or "").lower())
        counts.append(len(words))
        for word in words:
            entry = known.get(word)
            if entry is None:
                entry = known[word] = (crc32(word.encode("utf-8", "surrogatepass")), _counts_alone(word))
            found.append(entry)
    hashes = np.fromiter((entry[0] for entry in found), np.uint64, len(found))
    alone = np.fromiter((entry[1] for entry in found), np.bool_, len(found))
    return hashes, np.repeat(np.arange(len(texts)), counts), alone


def _counts_alone(word: str) -> bool:
    # Short words carry grammar in alphabetic scripts; in others (CJK) one word may be a whole clause.
    return len(word) >= _SHORTEST_WORD or not word.isascii()


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64: every input bit reaches the coordinate and the sign."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return values ^ (values >> np.uint64(31))
