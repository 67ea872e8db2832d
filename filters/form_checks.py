"""The ways in which a conversation can fail to be whole: each a small function that gives one `Check`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal, NamedTuple

import polars as pl

from . import signs
from .form_views import with_rare
from .languages import LITTLE_WORDS
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
OPEN_CHARACTERS = 600
"""A bracket or a quotation that was opened longer ago than this is a slip of the pen, and no cut."""
LONG_LINE = 12
"""Words: few titles, names and lines of verse are as long."""

_IN_ORDER = r"^s?(?:ua)+"


class Check(NamedTuple):
    """One way to fail: what is measured, over the columns of `views_of`, and on which side of its limit it fails."""

    reason: str
    fails: Literal["below", "from", "above"]  # the limit
    measured: pl.Expr
    limit: pl.Expr

    def failed(self, measured: pl.Expr, limit: pl.Expr) -> pl.Expr:
        return {"below": measured < limit, "from": measured >= limit, "above": measured > limit}[self.fails]


def unreadable() -> Check:
    return Check("unreadable", "below", pl.col("count"), pl.lit(1))


def wrong_roles() -> Check:
    in_order = pl.col("roles").str.extract(f"({_IN_ORDER})").str.len_chars().fill_null(0)
    return Check("wrong_roles", "below", in_order, pl.col("count"))


def empty() -> Check:
    return Check("empty", "above", pl.col("blank"), pl.lit(0))


def too_short(least: int) -> Check:
    return Check("too_short", "below", pl.col("words"), pl.lit(least))


def too_long(most: int) -> Check:
    return Check("too_long", "above", pl.col("words"), pl.lit(most))


def broken(*, json_wanted: bool) -> Check:
    json_found = pl.lit(0) if json_wanted else pl.col("last").str.contains(signs.RAW_JSON)
    found = pl.sum_horizontal(pl.col("broken_places"), json_found)
    return Check("broken", "above", found, pl.lit(0))


def other_script() -> Check:
    """The share of letters that are of the language's scripts (`form_views.script_shares`)."""
    return Check("other_script", "below", pl.col("own_script"), pl.lit(OWN_LETTERS))


def other_language(language: str) -> Check:
    """Little words of the language, as a share of those of the language that has most of them."""
    own = pl.col(f"little_{language}")
    most = pl.max_horizontal(f"little_{other}" for other in LITTLE_WORDS)
    enough = (most >= LEAST_LITTLE) & (most >= LITTLE_SHARE * pl.col("words"))
    share = pl.when(enough).then(own / most).otherwise(1.0)
    return Check("other_language", "below", share, pl.lit(OWN_LITTLE))


def cut_off() -> Check:
    """The columns `open_signs`, `stops` and `code` come from `with_endings`."""
    found = pl.sum_horizontal(
        (pl.col("finish_reason") == "length").fill_null(value=False),
        pl.col("fences") % 2,
        ~pl.col("code") & pl.col("stops"),
        pl.when(~pl.col("code")).then(pl.col("open_signs")).otherwise(0),
    )
    return Check("cut_off", "above", found, pl.lit(0))


def with_endings(views: pl.DataFrame) -> pl.DataFrame:
    """`views` with `stops` (inside a sentence), `open_signs` (never closed), and `code`, looked for where those are."""
    prose = pl.col("prose").str.tail(OPEN_CHARACTERS)
    patterns = (signs.STRAIGHT_QUOTE, *signs.OPEN_TO_THE_END)
    seen = views.with_columns(
        stops=stops_in_a_sentence(),
        open_signs=pl.sum_horizontal(prose.str.contains(pattern) for pattern in patterns),
    )
    return with_rare(
        seen, pl.col("stops") | (pl.col("open_signs") > 0), code=pl.col("last").str.contains(signs.CODE_LINE)
    )


def stops_in_a_sentence() -> pl.Expr:
    """The last line ends in no sign that ends a sentence, and what stands before says that it should.

    A name, a title, a figure or a line of verse needs no sign: so the line must be long, hold an earlier sentence, stop
    at a word that cannot be the last, or follow lines of prose that all end as sentences do.
    """
    line, tail = pl.col("line"), pl.col("tail")
    ended = pl.any_horizontal(
        tail.str.contains(pattern) for pattern in (signs.ENDED, signs.LIST_ITEM, signs.CODE_OR_TABLE, signs.SIGN_OFF)
    )
    prose = (pl.col("lines") > 1) & (pl.col("ended_lines") >= pl.col("lines") - 1) & ~pl.col("announced")
    dangles = tail.str.contains(signs.DANGLING)
    says_so = pl.any_horizontal(
        dangles,
        line.str.contains(signs.EARLIER_SENTENCE),
        (line.str.count_matches(r"\S+") >= LONG_LINE) & ~line.str.contains(signs.LABELLED),
        (pl.col("lines") > 1) & line.str.contains(r"^\p{Ll}"),
        prose,
    )
    verse = (pl.col("lines") >= 3) & (2 * pl.col("ended_lines") < pl.col("lines"))
    # Verse ends as it likes; a word that cannot be the last is one in verse, too.
    return ~ended & ~tail.str.contains(signs.NEEDS_NO_SIGN) & says_so & (~verse | dangles)


def no_reason() -> Check:
    span = pl.col("because").fill_null("")
    # A blank span stands everywhere and says nothing: it is counted as standing nowhere.
    places = (
        pl.when(span.str.strip_chars() != "").then(pl.col("last").str.count_matches(span, literal=True)).otherwise(0)
    )
    return Check("no_reason", "below", places, pl.lit(1))


def loop() -> Check:
    """How many times the stretch that is repeated most stands there, each copy right after the one before."""
    return Check("loop", "from", pl.col("copies"), pl.lit(LEAST_COPIES))


def leaked_instruction() -> Check:
    found = pl.sum_horizontal(
        pl.col("starts").list.eval(pl.element().str.contains(signs.LEAKED_AT_THE_START)).list.sum(),
        pl.col("answers").str.count_matches(signs.LEAKED_ANYWHERE),
        pl.col("tail").str.contains(signs.LEAKED_AT_THE_END),
    )
    return Check("leaked_instruction", "above", found, pl.lit(0))


def broken_markdown() -> Check:
    """Rows of a table that have another number of cells than its head."""
    return _counted("broken_markdown", signs.TABLE_ROW, _uneven_rows)


def broken_json() -> Check:
    """The last turn as JSON: 1 where it cannot be read."""
    return _counted("broken_json", ".", _unreadable_json)


def echo(source: str, limit: float) -> Check:
    share = pl.col(f"{source}_echo")
    return Check(f"echo_{source}", "from", share, pl.lit(limit))


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
    return Check(reason, "above", found, pl.lit(0))


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
