"""The ways in which a conversation can fail to be whole: each a small function that gives one `Check`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from . import signs
from .languages import LITTLE_WORDS, scripts_of
from .shingles import containments, shingle_columns

ECHO_NGRAM = 8
"""Words in a shingle of the echo checks: eight in a row are seldom shared by chance."""

LEAST_COPIES = 3.0
"""A stretch that stands three times in a row is a loop; twice is emphasis, or a refrain."""
LEAST_LETTERS = 20
OWN_LETTERS = 0.5
"""A name or a quotation in other letters is no other script; half of all letters are."""
LEAST_LITTLE = 5
LITTLE_SHARE = 0.1
OWN_LITTLE = 0.4
"""Of ten words of prose, two or three are among the 24 little words of their language, and hardly one among those of
another. Below a tenth it is a list or a name, and nothing is said."""
LONG_LINE = 12
"""Words: few titles, names and lines of verse are as long."""

_IN_ORDER = r"^s?(?:ua)+"


class Check(NamedTuple):
    """One way to fail: expressions over the columns of `views_of`, one value per row."""

    reason: str
    fails: pl.Expr
    measured: pl.Expr
    limit: pl.Expr


def unreadable() -> Check:
    return Check("unreadable", pl.col("count") == 0, pl.col("count"), pl.lit(1))


def wrong_roles() -> Check:
    in_order = pl.col("roles").str.extract(f"({_IN_ORDER})").str.len_chars().fill_null(0)
    return Check("wrong_roles", in_order < pl.col("count"), in_order, pl.col("count"))


def empty() -> Check:
    return Check("empty", pl.col("blank") > 0, pl.col("blank"), pl.lit(0))


def too_short(least: int) -> Check:
    return Check("too_short", pl.col("words") < least, pl.col("words"), pl.lit(least))


def too_long(most: int) -> Check:
    return Check("too_long", pl.col("words") > most, pl.col("words"), pl.lit(most))


def broken(*, json_wanted: bool) -> Check:
    json_found = pl.lit(0) if json_wanted else pl.col("last").str.contains(signs.RAW_JSON)
    found = pl.sum_horizontal(pl.col("text").str.count_matches(signs.BROKEN), json_found)
    return Check("broken", found > 0, found, pl.lit(0))


def other_script(language: str) -> Check:
    """Letters of the language's scripts, as a share of all letters of the assistant's turns."""
    letters = pl.col("answers").str.count_matches(r"\p{L}")
    own = pl.col("answers").str.count_matches("|".join(rf"\p{{{script}}}" for script in scripts_of(language)))
    share = pl.when(letters >= LEAST_LETTERS).then(own / letters).otherwise(1.0)
    return Check("other_script", share < OWN_LETTERS, share, pl.lit(OWN_LETTERS))


def other_language(language: str) -> Check:
    """Little words of the language, as a share of those of the language that has most of them."""
    own = pl.col(f"little_{language}")
    most = pl.max_horizontal(f"little_{other}" for other in LITTLE_WORDS)
    enough = (most >= LEAST_LITTLE) & (most >= LITTLE_SHARE * pl.col("words"))
    share = pl.when(enough).then(own / most).otherwise(1.0)
    return Check("other_language", share < OWN_LITTLE, share, pl.lit(OWN_LITTLE))


def cut_off() -> Check:
    prose = pl.col("prose")
    found = pl.sum_horizontal(
        (pl.col("finish_reason") == "length").fill_null(value=False),
        stops_in_a_sentence(),
        pl.col("fences") % 2,
        ~pl.col("code") & prose.str.contains(signs.STRAIGHT_QUOTE),
        *(~pl.col("code") & prose.str.contains(pattern) for pattern in signs.OPEN_TO_THE_END),
    )
    return Check("cut_off", found > 0, found, pl.lit(0))


def stops_in_a_sentence() -> pl.Expr:
    """The last line ends in no sign that ends a sentence, and what stands before says that it should.

    A name, a title, a figure or a line of verse needs no sign: so the line must be long, hold an earlier sentence, stop
    at a word that cannot be the last, or follow lines of prose that all end as sentences do.
    """
    ending, line = pl.col("ending"), pl.col("ending").str.extract(r"([^\n]*)$")
    ended = pl.any_horizontal(
        ending.str.contains(pattern) for pattern in (signs.ENDED, signs.LIST_ITEM, signs.CODE_OR_TABLE, signs.SIGN_OFF)
    )
    prose = (pl.col("lines") > 1) & (pl.col("ended_lines") >= pl.col("lines") - 1) & ~pl.col("announced")
    says_so = pl.any_horizontal(
        line.str.contains(signs.DANGLING),
        line.str.contains(signs.EARLIER_SENTENCE),
        (line.str.count_matches(r"\S+") >= LONG_LINE) & ~line.str.contains(signs.LABELLED),
        (pl.col("lines") > 1) & line.str.contains(r"^\p{Ll}"),
        prose,
    )
    verse = (pl.col("lines") >= 3) & (2 * pl.col("ended_lines") < pl.col("lines"))
    # Verse and code end as they like; a word that cannot be the last is one in verse, too.
    free = pl.col("code") | line.str.contains(signs.NEEDS_NO_SIGN)
    return ~ended & ~free & says_so & (~verse | line.str.contains(signs.DANGLING))


def no_reason() -> Check:
    span = pl.col("because").fill_null("")
    # A blank span stands everywhere and says nothing: it is counted as standing nowhere.
    places = (
        pl.when(span.str.strip_chars() != "").then(pl.col("last").str.count_matches(span, literal=True)).otherwise(0)
    )
    return Check("no_reason", places < 1, places, pl.lit(1))


def loop() -> Check:
    """How many times the stretch that is repeated most stands there, each copy right after the one before."""
    return Check("loop", pl.col("copies") >= LEAST_COPIES, pl.col("copies"), pl.lit(LEAST_COPIES))


def leaked_instruction() -> Check:
    found = pl.sum_horizontal(
        pl.col("starts").list.eval(pl.element().str.contains(signs.LEAKED_AT_THE_START)).list.sum(),
        pl.col("answers").str.count_matches(signs.LEAKED_ANYWHERE),
        pl.col("ending").str.contains(signs.LEAKED_AT_THE_END),
    )
    return Check("leaked_instruction", found > 0, found, pl.lit(0))


def broken_markdown() -> Check:
    """Rows of a table that have another number of cells than its head."""
    return _counted("broken_markdown", signs.TABLE_ROW, _uneven_rows)


def broken_json() -> Check:
    """The last turn as JSON: 1 where it cannot be read."""
    return _counted("broken_json", ".", _unreadable_json)


def echo(source: str, limit: float) -> Check:
    share = pl.col(f"{source}_echo")
    return Check(f"echo_{source}", share >= limit, share, pl.lit(limit))


def echo_shares(views: pl.DataFrame, source: str) -> pl.Series:
    """The share of each row's answer n-grams that stand in its source text; null where either is missing."""
    sources, answers = views.get_column(source), views.get_column("answers")
    if sources.null_count() == len(sources):
        return pl.Series(values=[None] * len(sources), dtype=pl.Float64)
    known = sources.unique(maintain_order=True)  # many rows share one seed: it is cut into words once
    places = sources.to_frame("text").join(known.to_frame("text").with_row_index("at"), on="text", how="left")
    inner, outer = shingle_columns(answers, ECHO_NGRAM), shingle_columns(known, ECHO_NGRAM)
    rows = pl.DataFrame({"row": pl.int_range(len(answers), eager=True), "at": places["at"]}).drop_nulls()
    rows = rows.filter(
        pl.Series((inner.sizes()[rows["row"].to_numpy()] > 0) & (outer.sizes()[rows["at"].to_numpy()] > 0))
    )
    shares = containments(inner, outer, rows["row"].to_numpy(), rows["at"].to_numpy())
    found = rows.select("row", share=pl.Series(shares, dtype=pl.Float64))
    whole = pl.DataFrame({"row": pl.int_range(len(answers), eager=True)})
    return whole.join(found, on="row", how="left", maintain_order="left")["share"]


def _counted(reason: str, where: str, count: Callable[[str], int]) -> Check:
    """A check that looks at the last turn with Python, and only at turns in which `where` is found."""
    found = (
        pl.when(pl.col("last").str.contains(where))
        .then(pl.col("last"))
        .map_elements(count, return_dtype=pl.Int64, skip_nulls=True)
        .fill_null(0)
    )
    return Check(reason, found > 0, found, pl.lit(0))


def _uneven_rows(text: str) -> int:
    uneven, cells = 0, 0
    for line in text.splitlines():
        row = line.strip()
        if not (row.startswith("|") and row.endswith("|") and len(row) > 1):
            cells = 0
            continue
        own = row.replace(r"\|", "").count("|")
        uneven += cells not in (0, own)
        cells = cells or own
    return uneven


def _unreadable_json(text: str) -> int:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return 1
    return 0
