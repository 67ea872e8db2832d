"""texts → words as the tics filter counts them: lower case, one spelling of a contraction, numbers as one word.

A word is a run of letters, or a number; a dash between letters parts two words, an apostrophe does not. Scripts that
put no blanks between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have no words to count: there each
character is one. Works row by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import polars as pl

from .verdict import FilterError

NUMBER, NAME = "<number>", "<name>"

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_SURROGATE = re.compile("[\ud800-\udfff]")
_MASK = "\ue000"  # private use: stands for a name until the words are cut
_LETTERS = rf"[\p{{L}}\p{{M}}--[{_UNSPACED}]]+"
WORD = rf"[{_UNSPACED}]\p{{M}}*|{_MASK}|0|{_LETTERS}(?:'{_LETTERS})*"
_ANYTHING, _DIGITS = r"[^.!?\n]{1,80}?", r"\d[\d.,:/]*"
_AROUND = 24  # characters of an example on either side of what it shows
_BETWEEN_UNSPACED = rf"([{_UNSPACED}]\p{{M}}*) "

# Inside a sentence a capital begins a name; "I" and "I'm" are too short, the first word of a sentence does not count.
_INSIDE = r"([\p{L}\p{N};'’)] |[,，]\s+)(?:\p{Lu}\p{L}[\p{L}'’-]*(?: |\b))+"
_SPELLINGS = (
    (r"[’ʼ＇]", "'"),
    (r"\p{N}+(?:[.,:/]\p{N}+)*", "0"),
    (r"\bcan(?:'t|not)\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"n't\b", " not"),
    (r"'re\b", " are"),
    (r"'m\b", " am"),
    (r"'ll\b", " will"),
    (r"'ve\b", " have"),
    (r"\b(it|that|there|here|what|he|she|who|where|how)'s\b", "${1} is"),
)


def text_column(texts: pl.Series | Iterable[str | None], *, name: str = "texts") -> pl.Series:
    """The texts as a String column in which blank is null; lone surrogates, which UTF-8 has not, as U+FFFD.

    Raises FilterError, naming the row, where they are not a column of texts.
    """
    if isinstance(texts, pl.Series) and texts.dtype in (pl.String, pl.Null):
        column = texts.cast(pl.String)
    else:
        column = pl.Series(list(_checked(texts, name)), dtype=pl.String)
    return column.to_frame("t").select(pl.when(pl.col("t").str.contains(r"\S")).then("t")).to_series().rename("text")


def spelled(texts: pl.Expr) -> pl.Expr:
    """Lower case, with one spelling for what is read alike: apostrophes, numbers, English contractions."""
    texts = texts.str.to_lowercase()
    for pattern, spelling in _SPELLINGS:
        texts = texts.str.replace_all(pattern, spelling)
    return texts


def names_masked(texts: pl.Expr) -> pl.Expr:
    """Each run of capitalised words inside a sentence as one name. Before `spelled`, which lowers them."""
    return texts.str.replace_all(_INSIDE, f"${{1}}{_MASK} ")


def shown(words: pl.Expr) -> pl.Expr:
    """Words (a list) as one line for people: blanks between words, none between unspaced characters."""
    line = words.list.join(" ").str.replace_all(_MASK, NAME).str.replace_all(r"\b0\b", NUMBER)
    return line.str.replace_all(_BETWEEN_UNSPACED, "${1}")


def _checked(texts: pl.Series | Iterable[str | None], name: str) -> Iterable[str | None]:
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise FilterError(
            what=f"{name} is {_cut(texts)}, of type {type(texts).__name__}",
            why="it must be a column: a polars Series, or any iterable of str and None",
            do="wrap a single text in a list: [text]",
        )
    for row, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise FilterError(
                what=f"{name}: row {row} is {_cut(text)}, of type {type(text).__name__}",
                why="only text can be cut into words",
                do="give every text as a str, or None where there is none",
            )
        yield None if text is None else _SURROGATE.sub("\ufffd", text)


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def as_long(texts: pl.Series | Iterable[str | None], name: str, count: int) -> pl.Series:
    """A column of texts with one for each of `count` rows, or FilterError."""
    column = text_column(texts, name=name)
    if len(column) != count:
        raise FilterError(
            what=f"{name} has {len(column)} values for {count} texts",
            why="each text has one of its own",
            do="give exactly one value, or None, for each text",
        )
    return column


def excerpt(text: str, tic: Sequence[str]) -> str:
    """Where `tic` (words, signs, `_` for other words) stands in `text`, with some of what is around it."""
    parts = [_ANYTHING if word == "_" else _DIGITS if word == "0" else _loose(word) for word in tic]
    found = re.search(r"[\W_]{0,4}?".join(parts), text, re.IGNORECASE) if parts else None
    start, end = (max(0, found.start() - _AROUND), found.end() + _AROUND) if found else (0, 4 * _AROUND)
    cut = " ".join(text[start:end].split())
    return ("…" if start else "") + cut + ("…" if end < len(text) else "")


def _loose(word: str) -> str:
    return re.escape(word).replace("'", "['’ʼ＇]")
