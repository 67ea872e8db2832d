"""conversations → what the checks of form look at, one row each: roles, endings, prose, words. Row by row."""

from __future__ import annotations

import polars as pl

from . import signs
from .form_words import word_facts
from .languages import LITTLE_WORDS, scripts_of

START_CHARACTERS = 300
END_CHARACTERS = 200
OPEN_CHARACTERS = 600
"""A bracket or a quotation that was opened longer ago than this is a slip of the pen, and no cut."""
ROW = "_row"
_ROLE_LETTERS = {"system": "s", "user": "u", "assistant": "a"}


def views_of(frame: pl.DataFrame, messages: str) -> pl.DataFrame:
    """One row per conversation:

    count, roles, blank       turns; their roles as letters, s, u, a and ? for others; how many are blank
    text, answers, last       all turns without code; the assistant's; the last turn
    starts                    the first characters of each of the assistant's turns
    ending, tail, fences      the last turn without the space behind it; its last characters; its fences
    prose                     the last characters of the last turn without code and misleading signs
    broken_places             see `signs.BROKEN`, in all turns
    words, copies, little_*   of the last turn: see `form_words.WordFacts`
    """
    turns = frame.get_column(messages).cast(pl.List(pl.Struct({"role": pl.String, "content": pl.String})))
    turn, content = pl.element(), pl.element().struct.field("content")
    role = turn.struct.field("role")
    letters = role.replace_strict(_ROLE_LETTERS, default="?", return_dtype=pl.String).fill_null("?")
    blank = content.fill_null("").str.strip_chars() == ""
    said = content.filter(role == "assistant")
    column, last = pl.col("turns"), pl.col("last")
    views = (
        pl.DataFrame({"turns": turns})
        .select(
            count=column.list.len().fill_null(0),
            roles=column.list.eval(letters).list.join(""),
            blank=column.list.eval(blank).list.sum(),
            text=column.list.eval(_without_code(content)).list.join("\n", ignore_nulls=True),
            answers=column.list.eval(said).list.join("\n", ignore_nulls=True),
            starts=column.list.eval(said.str.strip_chars_start().str.head(START_CHARACTERS)),
            last=column.list.last().struct.field("content"),
        )
        .with_columns(ending=last.str.strip_chars_end())
        .with_columns(
            tail=pl.col("ending").str.tail(END_CHARACTERS),
            prose=_without_misleading_signs(_without_code(last).str.tail(OPEN_CHARACTERS)),
            fences=pl.when(_may_hold_fences(last)).then(last).str.count_matches(signs.FENCE).fill_null(0),
        )
    )
    facts = word_facts(views.get_column("last"))
    little = {f"little_{language}": facts.little[:, number] for number, language in enumerate(LITTLE_WORDS)}
    views = views.with_columns(pl.DataFrame({"words": facts.words, "copies": facts.copies, **little}))
    views = views.with_columns(copies=pl.max_horizontal("copies", _copies_of_items(views.get_column("last"))))
    suspect = views_where(views, pl.col("text").str.contains(signs.MAY_BE_BROKEN))
    return joined(views, suspect.select(ROW, broken_places=pl.col("text").str.count_matches(signs.BROKEN)))


def _copies_of_items(texts: pl.Series) -> pl.Series:
    """`copies` without the numbers of list items, which part what is said again; null where there are none."""
    numbered = texts.str.contains(signs.NUMBERED).fill_null(value=False).arg_true()
    bare = texts.gather(numbered).str.replace_all(signs.NUMBERED, "")
    copies = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(texts))
    return copies.scatter(numbered, word_facts(bare).copies)


def views_where(views: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """The rows in which something is suspected, numbered in the column ROW, so that costly looks are at them alone."""
    return views.with_row_index(ROW).filter(where)


def joined(views: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """`views` with the columns of `found`, whose ROW says where; 0 or false in the other rows."""
    both = views.with_row_index(ROW).join(found, on=ROW, how="left", maintain_order="left").drop(ROW)
    return both.with_columns(
        pl.col(name).fill_null(value=False) if dtype == pl.Boolean else pl.col(name).fill_null(0)
        for name, dtype in found.drop(ROW).schema.items()
    )


def script_shares(views: pl.DataFrame, language: str, *, least: int) -> pl.Series:
    """The share of the last turn's letters that are of the language's scripts; 1 where there are fewer than `least`."""
    rows = views.select("last").with_row_index("row")
    classes = "".join(rf"\p{{{script}}}" for script in scripts_of(language))
    own = f"[{classes}]"
    ascii_alone = pl.col("last").str.len_bytes() == pl.col("last").str.len_chars()
    strange = pl.col("last").str.contains(rf"[\p{{L}}--[{classes}]]")
    seen = rows.filter(strange if "Latin" not in scripts_of(language) else ~ascii_alone).filter(strange)
    counted = seen.select(
        "row", all=pl.col("last").str.count_matches(r"\p{L}"), own=pl.col("last").str.count_matches(own)
    )
    found = counted.filter(pl.col("all") >= least).select("row", share=pl.col("own") / pl.col("all"))
    return rows.join(found, on="row", how="left", maintain_order="left")["share"].fill_null(1.0)


def _may_hold_fences(text: pl.Expr) -> pl.Expr:
    return text.str.contains_any(["```", "~~~"])


def _without_code(text: pl.Expr) -> pl.Expr:
    # A null costs no search: only texts that may hold code are looked through for it.
    unfenced = pl.coalesce(pl.when(_may_hold_fences(text)).then(text).str.replace_all(signs.FENCED, ""), text)
    return unfenced.str.replace_all(signs.INLINE_CODE, "code")


def _without_misleading_signs(text: pl.Expr) -> pl.Expr:
    """Without the brackets and quotes that need no partner."""
    for pattern in (signs.EMOTICON, signs.GERMAN_QUOTE, signs.INCHES):
        text = text.str.replace_all(pattern, "")
    return text
