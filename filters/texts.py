"""Texts as a polars column, or a clear refusal: what every filter over a column of texts begins with."""

from __future__ import annotations

import re
from collections.abc import Iterable

import polars as pl

from .verdict import FilterError

_SURROGATES = re.compile("[\ud800-\udfff]")


def text_column(texts: pl.Series | Iterable[str | None], *, name: str = "texts") -> pl.Series:
    """The texts as a String column without a name; nulls stay null.

    A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD: the count of characters stays. Raises FilterError,
    naming the argument `name`, where it is not a column of texts.
    """
    if isinstance(texts, pl.Series):
        if texts.dtype not in (pl.String, pl.Null, pl.Categorical, pl.Enum):
            raise _refused(f"{name} is a column of {texts.dtype}", name)
        return texts.cast(pl.String).alias("")
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise _refused(f"{name} is {shown(texts)}, of type {type(texts).__name__}", name)
    rows = list(texts)
    for row, text in enumerate(rows):
        if text is not None and not isinstance(text, str):
            raise _refused(f"{name}[{row}] is {shown(text)}, of type {type(text).__name__}", name)
    try:
        return pl.Series(values=rows, dtype=pl.String)
    except UnicodeEncodeError:
        mended = [None if text is None else _SURROGATES.sub("\ufffd", text) for text in rows]
        return pl.Series(values=mended, dtype=pl.String)


def shown(value: object) -> str:
    """A value as a message shows it, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _refused(what: str, name: str) -> FilterError:
    return FilterError(
        what=what,
        why="only text can be searched and cut into words",
        do=f"give {name} as a polars Series of strings, or any iterable of str and None; a single text as [text]",
    )
