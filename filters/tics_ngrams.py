"""texts → word n-grams with their document frequency: mined level by level, matched by a tree of prefixes.

Needs all rows. An n-gram can stand in so many texts only if both (n-1)-grams in it do (Agrawal and Srikant 1994),
and only if its hash bucket is as full (Park, Chen and Yu 1995): so never more is held than one number a word and
the n-grams that are frequent. Everything is counted in whole numbers: row order and threads change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from .tics_words import WORD

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

BREAK = -1
"""Between two texts, and wherever an n-gram shall not go on."""

DROPPED = -2

SIGNS = r"[.,!?;:…—–()\n。！？，；：、]"
_TOKEN = rf"{WORD}|{SIGNS}"
_NUMBER = r"^\p{N}"
_BATCH_ROWS = 4096
_CHUNK = 1 << 22  # pairs of which the distinct ones are looked for at once
_MOST_BUCKET_BITS = 22
_SPREAD = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2^64 / golden ratio: the high bits of a product are a hash


class Vocabulary:
    """word → code, in the order in which words were met; shared by all texts that are compared."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.words)

    def code(self, word: str) -> int:
        code = self._codes.setdefault(word, len(self.words))
        if code == len(self.words):
            self.words.append(word)
        return code


class Words(NamedTuple):
    """Texts as codes: of each text its words and signs, then one BREAK."""

    codes: Codes
    rows: Codes  # the row of each code
    height: int  # how many rows, those without a word too


def cut(texts: pl.Series, vocabulary: Vocabulary) -> Words:
    """The words of a String column (nulls have none); lower case, curly apostrophes straight, numbers one word."""
    codes, rows = [], []
    for start in range(0, len(texts), _BATCH_ROWS):
        tokens = (
            texts.slice(start, _BATCH_ROWS)
            .to_frame("text")
            .select(pl.col("text").str.to_lowercase().str.replace_all("[’ʼ＇]", "'").str.extract_all(_TOKEN))
        )
        lengths = tokens["text"].list.len().fill_null(0).to_numpy().astype(np.int64)
        flat = tokens.filter(pl.col("text").list.len() > 0).explode("text")
        ends = np.cumsum(lengths + 1)
        coded = np.full(int(ends[-1]), BREAK, np.int32)
        coded[np.delete(np.arange(len(coded)), ends - 1)] = _coded(flat, vocabulary)
        codes.append(coded)
        rows.append(np.repeat(np.arange(start, start + len(lengths), dtype=np.int32), lengths + 1))
    none = np.zeros(0, np.int32)
    return Words(np.concatenate([none, *codes]), np.concatenate([none, *rows]), len(texts))


def cut_all(columns: Sequence[pl.Series]) -> tuple[list[Words], Vocabulary]:
    """The words of several columns in one vocabulary, whose order is that of the alphabet.

    So whatever goes by the order of codes does not depend on the order of texts.
    """
    met, known = Vocabulary(), Vocabulary()
    words = [cut(column, met) for column in columns]
    for word in sorted(met.words):
        known.code(word)
    codes = np.array([known.code(word) for word in met.words], np.int32)
    return [recoded(each, codes) for each in words], known


def _coded(flat: pl.DataFrame, vocabulary: Vocabulary) -> Codes:
    distinct = flat.unique("text", maintain_order=True).with_columns(
        word=pl.when(pl.col("text").str.contains(_NUMBER)).then(pl.lit("0")).otherwise("text")
    )
    known = distinct.with_columns(code=pl.Series([vocabulary.code(word) for word in distinct["word"]], dtype=pl.Int32))
    coded: Codes = flat.join(known, on="text", how="left", maintain_order="left")["code"].to_numpy()
    return coded


def recoded(words: Words, codes: Codes) -> Words:
    """Every code as `codes` has it: another code, BREAK, or DROPPED, which leaves its neighbours side by side."""
    new: Codes = np.append(codes, np.int32(BREAK)).astype(np.int32)[words.codes]  # BREAK is -1: the last
    stays = new != DROPPED
    return Words(new[stays], words.rows[stays], words.height)


def only(words: Words, rows: Ints) -> Words:
    """These rows (ascending), numbered anew."""
    number = np.full(words.height, -1, np.int32)
    number[rows] = np.arange(len(rows), dtype=np.int32)
    own = number[words.rows]
    return Words(words.codes[own >= 0], own[own >= 0], len(rows))


class Grams(NamedTuple):
    """N-grams of one length: `codes` is (m, n), `rows` in how many rows each stands."""

    codes: Codes
    rows: Ints


def mine(words: Words, *, shortest: int, longest: int, least: int) -> Iterator[Grams]:
    """For n = `shortest` … `longest`: every n-gram without a BREAK that stands in `least` rows or more."""
    codes = words.codes
    width = int(codes.max(initial=0)) + 1
    full = np.bincount(codes[codes != BREAK], minlength=width) >= least
    at = np.flatnonzero((codes != BREAK) & full[codes])
    ids, grams = codes[at].astype(np.int64), np.arange(width, dtype=np.int32)[:, None]
    for n in range(1, longest + 1):
        if n > 1:
            # Where the n-gram one place further is frequent too, its last word lengthens this one.
            on = np.flatnonzero(np.diff(at) == 1)
            at, keys = _in_full_buckets(at[on], ids[on] * width + codes[at[on] + n - 1], least)
            frequent = _at_least(pl.Series(keys), least)
            at, ids = _among(at, keys, frequent)
            grams = np.column_stack([grams[frequent // width], (frequent % width).astype(np.int32)])
        if n >= shortest:
            counts = np.bincount(_pairs(ids, words.rows[at], words.height) // words.height, minlength=len(grams))
            yield Grams(grams[counts >= least], counts[counts >= least])


def occurrences(words: Words, grams: Sequence[Codes]) -> tuple[Ints, Ints]:
    """(gram, row) of every row in which a gram stands, each pair once, by gram and then row.

    `grams` holds matrices (m, n) of any n; a gram's number counts them through from the first matrix on.
    """
    longest = max((matrix.shape[1] for matrix in grams), default=0)
    width = max([int(words.codes.max(initial=0)), *(int(matrix.max(initial=0)) for matrix in grams)]) + 1
    firsts = np.cumsum([0, *(len(matrix) for matrix in grams)])
    parents = [np.zeros(len(matrix), np.int64) for matrix in grams]  # of each gram, its prefix one level up
    at = np.flatnonzero(words.codes != BREAK)
    ids = np.zeros(len(at), np.int64)
    pairs = [np.zeros(0, np.int64)]
    for n in range(1, longest + 1):
        wanted = [i for i, matrix in enumerate(grams) if matrix.shape[1] >= n]
        children = {i: parents[i] * width + grams[i][:, n - 1] for i in wanted}
        prefixes = np.unique(np.concatenate(list(children.values())))
        at, ids = _among(at, ids * width + words.codes[at + n - 1], prefixes)
        for i in wanted:
            parents[i] = np.searchsorted(prefixes, children[i])
            if grams[i].shape[1] == n:
                gram_of = np.full(len(prefixes), -1, np.int64)
                gram_of[parents[i]] = firsts[i] + np.arange(len(grams[i]))
                ends = gram_of[ids] >= 0
                pairs.append(_pairs(gram_of[ids[ends]], words.rows[at[ends]], words.height))
        on = words.codes[at + n] != BREAK if len(at) else np.zeros(0, np.bool_)
        at, ids = at[on], ids[on]
    found = np.sort(np.concatenate(pairs))
    return found // max(1, words.height), found % max(1, words.height)


def _pairs(ids: Ints, rows: Codes, count: int) -> Ints:
    """id * `count` + row, each pair once, in no particular order."""
    parts = [pl.Series(ids[part] * count + rows[part]).unique().to_numpy() for part in _row_slices(rows)]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _at_least(keys: pl.Series, least: int) -> Ints:
    """The values that occur `least` times or more, ascending."""
    counts = keys.rename("key").value_counts()
    frequent: Ints = counts.filter(pl.col("count") >= least)["key"].sort().to_numpy()
    return frequent


def _in_full_buckets(at: Ints, keys: Ints, least: int) -> tuple[Ints, Ints]:
    """Without the keys whose bucket of all keys of one hash holds fewer than `least`."""
    buckets = _buckets(keys, bits := _bits(len(keys)))
    full = np.bincount(buckets, minlength=1 << bits) >= least
    stays = full[buckets]
    return at[stays], keys[stays]


def _row_slices(rows: Codes) -> Iterator[slice]:
    """Slices of about `_CHUNK` places that part no row; `rows` is ascending."""
    start = 0
    while start < len(rows):
        end = start + _CHUNK
        if end < len(rows):
            end = int(np.searchsorted(rows, rows[end - 1], side="right"))
        yield slice(start, min(end, len(rows)))
        start = end


def _among(at: Ints, keys: Ints, known: Ints) -> tuple[Ints, Ints]:
    """(places whose key is known, the number of that key); `known` is ascending."""
    if not len(known):
        return at[:0], keys[:0]
    bits = _bits(len(keys))
    table = np.full(1 << bits, -1, np.int32)
    table[_buckets(known, bits)] = np.arange(len(known), dtype=np.int32)
    number = table[_buckets(keys, bits)]
    other = np.flatnonzero((number >= 0) & (known[number] != keys))  # in a bucket that another key has taken
    number[other] = np.minimum(np.searchsorted(known, keys[other]), len(known) - 1)
    number[other[known[number[other]] != keys[other]]] = -1
    is_known = number >= 0
    return at[is_known], number[is_known].astype(np.int64)


def _bits(count: int) -> int:
    return min(_MOST_BUCKET_BITS, count.bit_length() + 2)


def _buckets(keys: Ints, bits: int) -> Codes:
    buckets: Codes = ((keys.astype(np.uint64) * _SPREAD) >> np.uint64(64 - bits)).astype(np.int32)
    return buckets
