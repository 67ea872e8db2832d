"""conversations → what the checks of form look at, one row each: roles, endings, prose, words. Row by row."""

from __future__ import annotations

import polars as pl

from . import signs
from .form_words import word_facts
from .languages import LITTLE_WORDS

START_CHARACTERS = 300
_ROLE_LETTERS = {"system": "s", "user": "u", "assistant": "a"}


def views_of(frame: pl.DataFrame, messages: str) -> pl.DataFrame:
    """One row per conversation:

    count, roles, blank       turns; their roles as letters, s, u, a and ? for others; how many are blank
    text, answers, last       all turns without code; the assistant's; the last turn
    starts                    the first characters of each of the assistant's turns
    ending, prose, fences     the last turn without the space behind it; without code and misleading signs; its fences
    lines, ended_lines        of the last turn: those that are not blank, and those of them that end as sentences do
    announced, code           the line before its last ends in a colon; some line looks like code
    words, copies, little_*   of the assistant's turns: see `form_words.WordFacts`
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
        .with_columns(
            ending=last.str.strip_chars_end(),
            prose=_without_misleading_signs(_without_code(last)),
            fences=last.str.count_matches(signs.FENCE),
            lines=last.str.count_matches(signs.LINE),
            ended_lines=last.str.count_matches(signs.ENDED_LINE),
            announced=last.str.contains(signs.ANNOUNCED),
            code=last.str.contains(signs.CODE_LINE),
        )
    )
    facts = word_facts(views.get_column("answers"))
    little = {f"little_{language}": facts.little[:, number] for number, language in enumerate(LITTLE_WORDS)}
    return views.with_columns(pl.DataFrame({"words": facts.words, "copies": facts.copies, **little}))


def _without_code(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(signs.FENCED, "").str.replace_all(signs.INLINE_CODE, "code")


def _without_misleading_signs(text: pl.Expr) -> pl.Expr:
    """Without the brackets and quotes that need no partner."""
    for pattern in (signs.EMOTICON, signs.GERMAN_QUOTE, signs.INCHES):
        text = text.str.replace_all(pattern, "")
    return text
