"""The ways in which a conversation can fail to be whole: each a small function that gives one `Check`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import polars as pl

from . import signs, teachers_voice
from .form_views import ROW, joined, views_where
from .languages import LITTLE_WORDS
from .shingles import ShingleColumn, containments, shingle_columns

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
    prose, tail = pl.col("prose"), pl.col("tail")
    patterns = (signs.STRAIGHT_QUOTE, *signs.OPEN_TO_THE_END)
    last = pl.col("last")
    ways_to_end = (signs.ENDED, signs.CODE_OR_TABLE, signs.SIGN_OFF)
    seen = views.with_columns(
        unended=~pl.any_horizontal(tail.str.contains(pattern) for pattern in ways_to_end),
        open=prose.str.contains("|".join(patterns)),
    )
    lines = {
        "line": pl.col("ending").str.extract(r"([^\n]*)$"),
        "lines": last.str.count_matches(signs.LINE),
        "ended_lines": last.str.count_matches(signs.ENDED_LINE),
        "announced": last.str.contains(signs.ANNOUNCED),
        "items": last.str.count_matches(signs.ITEM),
        "ended_items": last.str.count_matches(signs.ENDED_ITEM),
    }
    number = pl.sum_horizontal(prose.str.contains(pattern) for pattern in patterns)
    suspect = views_where(seen, pl.col("unended") | pl.col("open")).with_columns(**lines)
    is_item = pl.col("tail").str.contains(signs.LIST_ITEM)
    stops = pl.when(is_item).then(stops_in_an_item()).otherwise(stops_in_a_sentence())
    found = suspect.select(
        ROW, stops=pl.col("unended") & stops, open_signs=number, code=last.str.contains(signs.CODE_LINE)
    )
    return joined(seen, found)


def stops_in_a_sentence() -> pl.Expr:
    """Where no sign ends the last line: whether what stands before says that one should.

    A name, a title, a figure or a line of verse needs no sign: so the line must be long, hold an earlier sentence, stop
    at a word that cannot be the last, or follow lines of prose that all end as sentences do.
    """
    line, tail = pl.col("line"), pl.col("tail")
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
    return ~tail.str.contains(signs.NEEDS_NO_SIGN) & says_so & (~verse | dangles)


def stops_in_an_item() -> pl.Expr:
    """Where no sign ends the last item of a list: whether it should have one.

    An item may be a name or a phrase. But where the items before it, two or more, all end as sentences do, or the item
    itself holds an earlier sentence, or it stops at a word that cannot be the last, it was cut.
    """
    said = pl.col("line").str.replace(signs.ITEM_MARK, "")
    of_sentences = (pl.col("items") > 1) & (pl.col("ended_items") >= pl.col("items") - 1)
    says_so = said.str.contains(signs.DANGLING_ITEM) | of_sentences | said.str.contains(signs.SENTENCE_IN_ITEM)
    return ~pl.col("tail").str.contains(signs.NEEDS_NO_SIGN) & says_so


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
        pl.col("starts").list.eval(pl.element().str.contains(teachers_voice.LEAKED_AT_THE_START)).list.sum(),
        pl.col("answers").str.count_matches(teachers_voice.LEAKED_ANYWHERE),
        pl.col("tail").str.contains(teachers_voice.LEAKED_AT_THE_END),
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


def with_echoes(views: pl.DataFrame, sources: Iterable[str]) -> pl.DataFrame:
    """`views` with `SOURCE_echo` for each source: see `_echo_shares`."""
    given = [source for source in sources if views.get_column(source).null_count() < views.height]
    answers = shingle_columns(views.get_column("answers"), ECHO_NGRAM) if given else None
    return views.with_columns(
        (
            pl.lit(None, pl.Float64)
            if answers is None or source not in given
            else _echo_shares(answers, views.get_column(source))
        ).alias(f"{source}_echo")
        for source in sources
    )


def _echo_shares(answers: ShingleColumn, sources: pl.Series) -> pl.Series:
    """The share of each row's answer n-grams that stand in its source text; null where either is missing."""
    known = sources.unique(maintain_order=True)  # many rows share one seed: it is cut into words once
    places = sources.to_frame("text").join(known.to_frame("text").with_row_index("at"), on="text", how="left")
    at = places["at"].fill_null(0).to_numpy()
    outer = shingle_columns(known, ECHO_NGRAM)
    shares = pl.Series(containments(answers, outer, None, at), dtype=pl.Float64)
    comparable = (answers.sizes() > 0) & (outer.sizes()[at] > 0) & sources.is_not_null().to_numpy()
    return pl.select(pl.when(pl.Series(comparable)).then(shares)).to_series()


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
        json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return 1
    return 0


def _refused(constant: str) -> None:
    """NaN and Infinity, which Python reads and no other reader of JSON does (RFC 8259, 6)."""
    raise ValueError(constant)
