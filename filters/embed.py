"""texts → int8 vectors: the embedder that needs no model and no network.

Words of four letters and more, and pairs of neighbouring words, are hashed to a coordinate and a sign
(feature hashing: Weinberger et al., arXiv 0902.2206, a sparse form of signed random projection), summed,
scaled to length 127 and rounded. Dot products of two vectors are integers, at most 127² = 16,129 up to
rounding, so they are the same bits on every machine. Cosine is dot / 16,129.

Texts are read by compiled code where numba is there, else cut by Python: the vectors are the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from .letters import TABLE_SIZE, WORD, code_point, compiled, is_compiled, kind_of, starts_of, tables
from .verdict import FilterError

DIMENSIONS = 256
SCALE = 127
_WORD = re.compile(r"\w+")
_BATCH = 4096
_SHORTEST_WORD = 4
_PAIR_FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2^64 / golden ratio: spreads a pair over all bits


def _crc_table() -> npt.NDArray[np.uint32]:
    """What zlib's crc32 looks up for each byte (reflected polynomial 0xEDB88320)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0xEDB8_8320), table >> 1).astype(np.uint32)
    return table


_CRC = _crc_table()


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
    sums = np.zeros((len(texts), dimensions), np.float64)
    slow = np.arange(len(texts))
    if is_compiled:
        data = [(text or "").encode("utf-8", "surrogatepass") for text in texts]
        is_odd = np.zeros(len(texts), np.bool_)
        _add(np.frombuffer(b"".join(data), np.uint8), starts_of([*map(len, data)]), *tables(), _CRC, sums, is_odd)
        slow = np.flatnonzero(is_odd)
    if len(slow):
        sums[slow] = _sums([texts[int(row)] for row in slow], dimensions)
    lengths = np.sqrt((sums * sums).sum(axis=1, keepdims=True))
    scaled: npt.NDArray[np.int8] = np.rint(sums * SCALE / np.maximum(lengths, 1.0)).astype(np.int8)
    return scaled


@compiled
def _crc_with(value: Any, low: int, crc: Any) -> Any:  # pragma: no cover (compiled)
    """The running CRC-32 with the UTF-8 bytes of one more code point."""
    if low < 0x80:
        first, more = low, 0
    elif low < 0x800:
        first, more = 0xC0 | (low >> 6), 1
    elif low < 0x10000:
        first, more = 0xE0 | (low >> 12), 2
    else:
        first, more = 0xF0 | (low >> 18), 3
    value = crc[(value ^ np.uint32(first)) & np.uint32(0xFF)] ^ (value >> np.uint32(8))
    for step in range(more - 1, -1, -1):
        byte = np.uint32(0x80 | ((low >> (6 * step)) & 0x3F))
        value = crc[(value ^ byte) & np.uint32(0xFF)] ^ (value >> np.uint32(8))
    return value


@compiled
def _add(
    data: Any, starts: Any, kinds: Any, lower: Any, crc: Any, sums: Any, is_odd: Any
) -> None:  # pragma: no cover (compiled)
    """Adds to each text's sums what `_sums` gives for it, but for the texts that it marks as odd."""
    mask = np.uint64(sums.shape[1] - 1)
    for row in range(len(starts) - 1):
        before, words = np.uint64(0), 0
        at, end = starts[row], starts[row + 1]
        while at < end and not is_odd[row]:
            point, behind = code_point(data, at)
            if not kind_of(point, kinds) & WORD:
                at = behind
                continue
            value, length, is_ascii = np.uint32(0xFFFF_FFFF), 0, True
            while kind_of(point, kinds) & WORD:
                # Letters whose lower case is two letters, or depends on the next; and what only newer Pythons know.
                if point in (0x130, 0x3A3) or point >= TABLE_SIZE:
                    is_odd[row] = True
                    break
                low = int(lower[point])
                is_ascii = is_ascii and low < 0x80
                value = _crc_with(value, low, crc)
                length += 1
                at = behind
                if at >= end:
                    break
                point, behind = code_point(data, at)
            word = np.uint64(value ^ np.uint32(0xFFFF_FFFF))
            words += 1
            for is_pair in range(2):
                if (is_pair and words < 2) or (not is_pair and is_ascii and length < _SHORTEST_WORD):
                    continue
                feature = before * _PAIR_FACTOR + word if is_pair else word
                feature = (feature ^ (feature >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
                feature = (feature ^ (feature >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
                feature ^= feature >> np.uint64(31)
                sums[row, np.int64(feature & mask)] += 1.0 if feature >> np.uint64(63) else -1.0
            before = word


def _sums(texts: Sequence[str | None], dimensions: int) -> npt.NDArray[np.float64]:
    hashes, rows, long_enough = _words(texts)
    same_text = rows[1:] == rows[:-1]
    pairs = (hashes[:-1] * _PAIR_FACTOR + hashes[1:])[same_text]
    features = _mixed(np.concatenate([hashes[long_enough], pairs]))
    owners = np.concatenate([rows[long_enough], rows[1:][same_text]])
    columns = (features & np.uint64(dimensions - 1)).astype(np.int64)
    signs = np.where(features >> np.uint64(63), 1.0, -1.0)
    sums = np.bincount(owners * dimensions + columns, signs, len(texts) * dimensions).astype(np.float64)
    return sums.reshape(len(texts), dimensions)  # whole numbers: exact in any order


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
