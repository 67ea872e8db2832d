"""texts → texts with slots: what a copy changes when only its nouns change, replaced by one word. Row by row.

Compared like this, "the same answer with the nouns changed" is the same text: `near_duplicates(slot_masked(texts))`
finds what the plain comparison cannot (masking before shingling: detector T5).

No model finds the names. A word is a name where it is capitalised inside a sentence ("I" and "A" apart), or at the
start of one and also inside one of the same text, or where it is all capitals. Where more than one of six words begins
a run of such words (German), capitals say nothing about names, and only numbers, addresses and terms are masked. Number
words, weekdays and months are English. Scripts without capital letters have numbers and terms masked only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt
import polars as pl

from . import mask_kernel as kernel
from .letters import bytes_of, starts_of, tables
from .texts import shown, text_column
from .verdict import FilterError

SLOT = "0"
"""What stands for a name, a number, an address or a term, and for a run of them. No other word has a digit."""

SLOT_THRESHOLD = 0.8
"""Jaccard of word 5-grams from which two masked texts count as one answer. Copies of rehearsal drafts with names,
numbers and terms changed lie at .88 and above, other drafts at .48 and below (`benchmarks/leaks.py` prints both)."""

MIN_WORDS = 25
"""With fewer words left than this a text is too little to know a copy by."""

_LINK = r"(?i-u:https?://|www\.)[^\s<>\"')\]]+|[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"
NUMBER_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds "
    "thousand thousands million millions billion billions dozen dozens first third fourth fifth sixth seventh "
    "eighth ninth tenth monday tuesday wednesday thursday friday saturday sunday noon midnight january "
    "february april june july august september october november december percent dollars euros pounds cents"
)
_BATCH = 8192


def slot_masked(
    texts: pl.Series | Iterable[str | None],
    *,
    terms: pl.Series | Sequence[Sequence[str] | None] | None = None,
    min_words: int = MIN_WORDS,
) -> pl.Series:
    """One masked text per text, in order: its words, one blank between them, with `SLOT` for what is masked.

    `terms` holds for each row the words and phrases of its own context, which a copy would exchange (the names of
    its levels, the nouns of its scenario); null or empty for none. They are found as whole words, whatever their
    case, also with a plural s; what is no letter or digit in a term stands for a blank.

    Null where fewer than `min_words` words are left beside the slots (where no blanks part words, two characters
    count as one). Such a text, and a null one, is like no other text to `near_duplicates`.

    Raises FilterError where the texts or terms are no such columns, or `min_words` is no count.
    """
    column = text_column(texts)
    if isinstance(min_words, bool) or not isinstance(min_words, int) or min_words < 0:
        raise FilterError(
            what=f"min_words is {shown(min_words)}",
            why="it is how many words must be left beside the slots",
            do=f"give a whole number from 0 up, such as {MIN_WORDS}",
        )
    owned = _Terms(_term_lists(terms, len(column)))
    unlinked = _without_links(column)
    masked: list[str | None] = []
    for start in range(0, len(column), _BATCH):
        rows = unlinked[start : start + _BATCH]
        masked += _masked(rows, owned, start, min_words)
    return pl.Series(values=masked, dtype=pl.String)


def _without_links(column: pl.Series) -> pl.Series:
    rows = column.str.contains_any(["@", "://", "www."], ascii_case_insensitive=True).fill_null(value=False).arg_true()
    return column.scatter(rows, column.gather(rows).str.replace_all(_LINK, SLOT)) if len(rows) else column


def content_words(texts: pl.Series | Iterable[str | None], *, min_letters: int = 5) -> pl.Series:
    """For each text its distinct words of at least so many letters, lowered, in order: terms for `slot_masked`.

    A List(String); empty for a null text. Meant for a scenario or a context card, whose short words are grammar.
    """
    words = text_column(texts).str.to_lowercase().str.extract_all(rf"[^\W\d_]{{{min_letters},}}")
    return words.fill_null([]).list.unique(maintain_order=True)


class _Terms:
    """The terms of every row as the hashes of their words; a term that many rows have is cut once."""

    def __init__(self, lists: Sequence[Sequence[str] | None]) -> None:
        numbers: dict[str, int] = {}
        own = [[numbers.setdefault(term, len(numbers)) for term in row or ()] for row in lists]
        words = [_word_hashes(term.replace("_", " ")) for term in numbers]
        self.own = np.fromiter(chain.from_iterable(own), np.int64)
        self.own_starts = starts_of([len(row) for row in own])
        self.starts = starts_of([len(hashes) for hashes in words])
        self.hashes = np.concatenate(words) if words else np.zeros(0, np.uint64)


def _masked(rows: pl.Series, owned: _Terms, start: int, min_words: int) -> list[str | None]:
    data, offsets = bytes_of(rows)
    out = np.empty(2 * len(data), np.uint8)  # a blank is written where digits touch a script without blanks
    ends, left = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    own_starts = owned.own_starts[start : start + len(rows) + 1]
    with np.errstate(over="ignore"):  # a hash wraps around; only code that is not compiled says so
        kernel.mask(
        data, offsets, *tables(), _number_words(), own_starts, owned.own, owned.starts, owned.hashes,
        out, ends, left,
    )  # fmt: skip
    said = out.tobytes()
    begins = [0, *ends[:-1].tolist()]
    enough = (left >= min_words) & rows.is_not_null().to_numpy()
    return [
        said[begin:end].decode() if is_enough else None
        for begin, end, is_enough in zip(begins, ends.tolist(), enough.tolist(), strict=True)
    ]


def _word_hashes(text: str) -> npt.NDArray[np.uint64]:
    data = np.frombuffer(text.encode(), np.uint8)
    places, hashes = np.empty((len(data) + 1, 3), np.int64), np.empty((len(data) + 1, 3), np.uint64)
    flags = np.empty(len(data) + 1, np.uint8)
    with np.errstate(over="ignore"):
        count = kernel.find_words(data, 0, len(data), *tables(), places, hashes, flags)
    return hashes[:count, 0]


@cache
def _number_words() -> npt.NDArray[np.uint64]:
    """The hashes of the number words, as a table of open addressing."""
    hashes = _word_hashes(NUMBER_WORDS)
    table = np.zeros(256, np.uint64)
    for value in hashes:
        table[kernel.place(table, value)] = value
    return table


def _term_lists(terms: pl.Series | Sequence[Sequence[str] | None] | None, count: int) -> Sequence[Sequence[str] | None]:
    if terms is None:
        return [None] * count
    rows = terms.to_list() if isinstance(terms, pl.Series) else list(terms)
    if len(rows) != count:
        raise FilterError(
            what=f"terms has {len(rows)} rows for {count} texts",
            why="each text is masked by the terms of its own context",
            do="give one list of terms, or None, for each text",
        )
    for row, own in enumerate(rows):
        if own is not None and (isinstance(own, str) or not all(isinstance(term, str) for term in own)):
            raise FilterError(
                what=f"terms[{row}] is {shown(own)}",
                why="each text is masked by the terms of its own context",
                do="give a list of strings, or None, for each text",
            )
    return rows
