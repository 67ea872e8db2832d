"""conversations → verdicts: is each a whole, readable conversation of its own? (Not: does it express a value?)

The checks, in this order; the first that fails gives the reason, with what was measured and its limit:

- `unreadable`: there is no conversation. Turns; at least 1.
- `wrong_roles`: not one system turn if any, then user and assistant in turn, ending with the assistant.
  Turns that are in order, from the first; all of them.
- `empty`: a turn is blank. Blank turns; 0.
- `broken`: control or replacement characters, unfilled placeholders, chat-template tokens, JSON where prose
  should be. Such places; 0.
- `cut_off`: the teacher stopped at its limit (`finish_reason` "length"), or the last turn stops inside a
  sentence, quote, bracket or code block. Such signs; 0.
- `no_reason`: `because` is blank, or no verbatim span of the last turn. Places where it stands; at least 1.
- `echo_seed`, `echo_prompt`: the assistant's turns repeat the seed, or the instructions they were made from.
  Share of their word 8-grams that stand there; dropped from the limit on.

All of it works row by row. What it does not see: text cut exactly after a sentence or inside a list item, and
any cut in a language that ends sentences without a sign (Thai, Lao).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from . import signs
from .shingles import Shingles, containment, shingle_sets
from .verdict import FilterError

ECHO_NGRAM = 8
"""Words in a shingle of the echo checks: eight in a row are seldom shared by chance."""

_ROLE_LETTERS = {"system": "s", "user": "u", "assistant": "a"}
_IN_ORDER = r"^s?(?:ua)+"


class Check(NamedTuple):
    """One way to fail: expressions over the columns of `_views`, one value per row."""

    reason: str
    fails: pl.Expr
    measured: pl.Expr
    limit: pl.Expr


def form(
    frame: pl.DataFrame,
    *,
    ids: str = "id",
    messages: str = "messages",
    because: str | None = "because",
    finish_reason: str | None = "finish_reason",
    seed_text: str | None = None,
    prompt_text: str | None = None,
    seed_echo_limit: float = 0.3,
    prompt_echo_limit: float = 0.3,
) -> pl.DataFrame:
    """One verdict per row, in the input's order, with the schema `VERDICT` and `filter` "form".

    Each of `ids` … `prompt_text` names a column of `frame`. `messages` is a list of structs with `role` and
    `content`; the others are strings. `seed_text` and `prompt_text` hold the text that this row must not
    repeat (the seed's own turns; the instructions it was made from); a row cannot echo a null. None instead
    of a name leaves out the check that needs the column. An echo limit is a share above 0 and at most 1;
    answers shorter than eight words echo only a text that consists of the same words.

    Raises FilterError where a column is missing or of another type, or a limit is no share.
    """
    named = {"because": because, "finish_reason": finish_reason, "seed": seed_text, "prompt": prompt_text}
    _check_columns(frame, [ids, *(name for name in named.values() if name is not None)], messages)
    limits = {"seed": seed_echo_limit, "prompt": prompt_echo_limit}
    for name, limit in limits.items():
        _check_share(f"{name}_echo_limit", limit)
    views = _views(frame, messages).with_columns(
        pl.lit(None, pl.String).alias(column) if name is None else frame.get_column(name).cast(pl.String).alias(column)
        for column, name in named.items()
    )
    views = views.with_columns(_echo_shares(views, source).alias(f"{source}_echo") for source in limits)
    checks = [_unreadable(), _wrong_roles(), _empty(), _broken(), _cut_off()]
    if because is not None:
        checks.append(_no_reason())
    checks += [_echo(source, limit) for source, limit in limits.items()]
    return _verdicts(frame.get_column(ids).cast(pl.String), views, checks)


def form_scores(frame: pl.DataFrame, *, ids: str = "id", messages: str = "messages") -> pl.DataFrame:
    """`id` and `score`: how well-formed the assistant's turns are, in [0, 1]; null where there are none.

    The mean of four ratios of whole numbers, the same on every machine. It knows nothing of the value, and
    ranks rows only where no judge does:

    - length: 1 from 60 to 400 words, falling towards 0 on both sides (w / 60, 400 / w);
    - sentences: 1 where they have 8 to 28 words on average, falling likewise on both sides;
    - paragraphs: 1 where they have at most 120 words on average, else 120 over that;
    - variety: distinct words among the first 100, over their number.
    """
    _check_columns(frame, [ids], messages)
    lowered = _views(frame, messages).select(pl.col("answers").str.to_lowercase())
    counts = lowered.select(
        words=pl.col("answers").str.extract_all(r"\w+"),
        sentences=pl.max_horizontal(pl.col("answers").str.count_matches(rf"{signs.TERMINAL}+(?:\W|$)"), 1),
        paragraphs=pl.max_horizontal(pl.col("answers").str.count_matches(r"\S[ \t]*(?:\n|$)"), 1),
    ).with_columns(count=pl.col("words").list.len().cast(pl.Int64), start=pl.col("words").list.head(100))
    count = pl.col("count")
    parts = [
        _within_band(count, pl.lit(1), 60, 400),
        _within_band(count, pl.col("sentences"), 8, 28),
        _within_band(count, pl.col("paragraphs"), 0, 120),
        pl.col("start").list.n_unique() / pl.col("start").list.len(),
    ]
    mean = (parts[0] + parts[1] + parts[2] + parts[3]) / 4  # in this order: a sum of floats depends on it
    scores = counts.select(score=pl.when(count > 0).then(mean)).get_column("score")
    return pl.DataFrame([frame.get_column(ids).cast(pl.String).alias("id"), scores])


def _within_band(total: pl.Expr, parts: pl.Expr, low: int, high: int) -> pl.Expr:
    """1 where total / parts lies in [low, high], else the ratio to the nearer end; all counts are whole."""
    short = total < low * parts
    long = total > high * parts
    return pl.when(short).then(total / (low * parts)).when(long).then(high * parts / total).otherwise(1.0)


def _views(frame: pl.DataFrame, messages: str) -> pl.DataFrame:
    """What the checks look at: the roles as letters, the blank turns, and the texts that belong together."""
    turns = frame.get_column(messages).cast(pl.List(pl.Struct({"role": pl.String, "content": pl.String})))
    turn, content = pl.element(), pl.element().struct.field("content")
    role = turn.struct.field("role")
    letters = role.replace_strict(_ROLE_LETTERS, default="?", return_dtype=pl.String).fill_null("?")
    blank = content.fill_null("").str.strip_chars() == ""
    column = pl.col("turns")
    return (
        pl.DataFrame({"turns": turns})
        .select(
            count=column.list.len().fill_null(0),
            roles=column.list.eval(letters).list.join(""),
            blank=column.list.eval(blank).list.sum(),
            text=column.list.eval(_without_code(content)).list.join("\n", ignore_nulls=True),
            answers=column.list.eval(content.filter(role == "assistant")).list.join("\n", ignore_nulls=True),
            last=column.list.last().struct.field("content"),
        )
        .with_columns(
            ending=pl.col("last").str.strip_chars_end(),
            prose=_without_misleading_signs(_without_code(pl.col("last"))),
            fences=pl.col("last").str.count_matches(signs.FENCE),
        )
    )


def _without_code(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(signs.FENCED, "").str.replace_all(signs.INLINE_CODE, "code")


def _without_misleading_signs(text: pl.Expr) -> pl.Expr:
    """Without the brackets and quotes that need no partner."""
    for pattern in (signs.EMOTICON, signs.GERMAN_QUOTE, signs.INCHES):
        text = text.str.replace_all(pattern, "")
    return text


def _unreadable() -> Check:
    return Check("unreadable", pl.col("count") == 0, pl.col("count"), pl.lit(1))


def _wrong_roles() -> Check:
    in_order = pl.col("roles").str.extract(f"({_IN_ORDER})").str.len_chars().fill_null(0)
    return Check("wrong_roles", in_order < pl.col("count"), in_order, pl.col("count"))


def _empty() -> Check:
    return Check("empty", pl.col("blank") > 0, pl.col("blank"), pl.lit(0))


def _broken() -> Check:
    found = pl.sum_horizontal(
        pl.col("text").str.count_matches(signs.BROKEN),
        pl.col("last").str.contains(signs.RAW_JSON),
    )
    return Check("broken", found > 0, found, pl.lit(0))


def _cut_off() -> Check:
    ending, prose = pl.col("ending"), pl.col("prose")
    ways_to_end = (signs.ENDED, signs.LIST_ITEM, signs.CODE_OR_TABLE, signs.SIGN_OFF)
    found = pl.sum_horizontal(
        (pl.col("finish_reason") == "length").fill_null(value=False),
        ~pl.any_horizontal(ending.str.contains(pattern) for pattern in ways_to_end),
        pl.col("fences") % 2,
        prose.str.count_matches(signs.STRAIGHT_QUOTE) % 2,
        *(prose.str.contains(pattern) for pattern in signs.OPEN_TO_THE_END),
    )
    return Check("cut_off", found > 0, found, pl.lit(0))


def _no_reason() -> Check:
    span = pl.col("because").fill_null("")
    # A blank span stands everywhere and says nothing: it is counted as standing nowhere.
    places = (
        pl.when(span.str.strip_chars() != "").then(pl.col("last").str.count_matches(span, literal=True)).otherwise(0)
    )
    return Check("no_reason", places < 1, places, pl.lit(1))


def _echo(source: str, limit: float) -> Check:
    share = pl.col(f"{source}_echo")
    return Check(f"echo_{source}", share >= limit, share, pl.lit(limit))


def _echo_shares(views: pl.DataFrame, source: str) -> pl.Series:
    """The share of each row's answer n-grams that stand in its source text; null where either is missing."""
    sources, answers = views.get_column(source), views.get_column("answers")
    if sources.null_count() == len(sources):
        return pl.Series(values=[None] * len(sources), dtype=pl.Float64)
    known = sources.unique().to_list()  # many rows share one seed: it is cut into words once
    sets = dict(zip(known, shingle_sets(known, ECHO_NGRAM), strict=True))
    pairs = zip(shingle_sets(answers, ECHO_NGRAM), sources, strict=True)
    return pl.Series(values=list(_shares(pairs, sets)), dtype=pl.Float64)


def _shares(
    pairs: Iterator[tuple[Shingles | None, str | None]], sets: dict[str | None, Shingles | None]
) -> Iterator[float | None]:
    for answer, source in pairs:
        outer = sets[source]
        yield None if answer is None or outer is None else containment(answer, outer)


def _verdicts(ids: pl.Series, views: pl.DataFrame, checks: list[Check]) -> pl.DataFrame:
    def of_first_failure(values: list[pl.Expr]) -> pl.Expr:
        return pl.coalesce(pl.when(check.fails).then(value) for check, value in zip(checks, values, strict=True))

    reason = of_first_failure([pl.lit(check.reason) for check in checks])
    return views.select(
        ids.alias("id"),
        filter=pl.lit("form"),
        kept=reason.is_null(),
        reason=reason,
        measured=of_first_failure([check.measured.cast(pl.Float64) for check in checks]),
        limit=of_first_failure([check.limit.cast(pl.Float64) for check in checks]),
        twin=pl.lit(None, pl.String),
    )


def _check_columns(frame: pl.DataFrame, strings: list[str], messages: str) -> None:
    for name in (messages, *strings):
        if name not in frame.columns:
            raise FilterError(
                what=f"the frame has no column {name!r}; it has {', '.join(frame.columns) or 'none'}",
                why="form looks at it in every row",
                do="name the column that holds it, or pass None where the check may be left out",
            )
    for name in strings:
        if frame.schema[name] not in (pl.String, pl.Null, pl.Categorical):
            raise FilterError(
                what=f"column {name!r} is {frame.schema[name]}",
                why="it is compared as text",
                do=f"cast it first: pl.col({name!r}).cast(pl.String)",
            )
    dtype = frame.schema[messages]
    if dtype == pl.Null:
        return
    inner = dtype.inner if isinstance(dtype, pl.List) else None
    fields = {field.name for field in inner.fields} if isinstance(inner, pl.Struct) else set()
    if not {"role", "content"} <= fields:
        raise FilterError(
            what=f"column {messages!r} is {dtype}",
            why="a conversation is a list of turns, each with a role and a content",
            do="give List(Struct({'role': String, 'content': String}))",
        )


def _check_share(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise FilterError(
            what=f"{name} is {value!r}",
            why="it is the share of an answer's word 8-grams from which it counts as an echo",
            do="give a number above 0 and at most 1, such as 0.3",
        )
