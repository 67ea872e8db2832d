"""texts → families: which texts begin alike, and which end alike (detector T1). Works row by row.

What a family is, exactly:

- The **opening** of a text is its first three words.
- The **closing** is the first three words of its last sentence: a stock ending is told by how it begins ("Let me
  know if …", "I hope this …"), while its last words carry the topic. A sentence begins after `. ! ? …` (closing
  quotes, brackets and asterisks may follow) and a blank, after 。！？ or after a line break that does not follow a
  comma; so a sign-off ("Warmly,⏎Anna") is a closing. What follows the last word (signs, emoji) does not count.
- Two texts are of one family if these words are equal after: lower case; curly apostrophes straight; English
  contractions written out ("you're right" = "you are right", "it's" = "it is"); each number as `<number>`; each run
  of capitalised words inside a sentence as `<name>` ("Dear Anna Lee," = "Dear Ben,"). Markdown and punctuation
  are no words.
- A shorter text counts with all its words. In scripts without blanks between words (Chinese, Japanese, Thai,
  Lao, Khmer, Burmese) a character is a word. A text without any word (null, blank, only emoji) has no family: null.

Why three: on 5,000 real answers two words throw unlike openings together ("the most popular", "the most common")
and four part variants of one ("thank you for telling", "thank you for sharing").

Limits: a name that begins the text is not known as one; "Dr." and other abbreviations end a sentence here; of a
last sentence longer than 1,000 characters the last 1,000 count.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from .statistics import Interval, wilson
from .tics_words import WORD, names_masked, shown, spelled, text_column

FAMILY_WORDS = 3
_START = 160  # characters that are cut into words; three words seldom fill them
_LAST_SENTENCE = 1000
_AFTER_THE_LAST_WORD = r"[^\p{L}\p{N}]+$"
_SENTENCE_END = r"""[.!?…]+["'”’»)\]*_]*\s+|[。！？]"""
_LINE_END = r"([^,，\s])[ \t\r]*\n"  # "Warmly,\nAnna" is one
_MARK = "\x1e"


def tic_families(texts: pl.Series | Iterable[str | None]) -> pl.DataFrame:
    """`opening`, `closing`: the families of each text, one row per text in its order; null where it has no word.

    Equal strings are one family; the module says what makes them equal. Of a conversation give the assistant's
    turns, joined by newlines. Raises FilterError where `texts` is not a column of texts.
    """
    end = pl.col("text").str.tail(_LAST_SENTENCE).str.replace(_AFTER_THE_LAST_WORD, "")
    parted = end.str.replace_all(_SENTENCE_END, _MARK).str.replace_all(_LINE_END, f"${{1}}{_MARK}")
    last = parted.str.split(_MARK).list.last()
    return text_column(texts).to_frame().select(opening=_family(pl.col("text")), closing=_family(last))


def _family(text: pl.Expr) -> pl.Expr:
    words = spelled(names_masked(text.str.head(_START))).str.extract_all(WORD).list.head(FAMILY_WORDS)
    return pl.when(words.list.len() > 0).then(shown(words))


class Spread(NamedTuple):
    """How evenly texts are spread over families."""

    effective: float  # 1 / Σ p² (Simpson): the number of equally large families that would be as even; 0 of none
    top: str | None  # the largest family; of equally large ones the first by name
    top_count: int
    top_share: float  # of the texts that have a family
    top_interval: Interval  # Wilson, 95 %


def spread(families: pl.Series) -> Spread:
    """The spread of a column of families; nulls do not count."""
    counts = family_counts(families)
    total = sum(counts.values())
    if not total:
        return Spread(0.0, None, 0, 0.0, wilson(0, 0))
    top = min(counts, key=lambda family: (-counts[family], family))
    squares = sum(count * count for count in counts.values())
    return Spread(total * total / squares, top, counts[top], counts[top] / total, wilson(counts[top], total))


def family_counts(families: pl.Series) -> dict[str, int]:
    """family → how many texts it has, in no particular order."""
    return dict(families.drop_nulls().value_counts().iter_rows())
