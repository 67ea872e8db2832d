"""conversations → verdicts: is each a whole, readable conversation of its own? (Not: does it express a value?)

The checks, in this order; the first that fails gives the reason, with what was measured and its limit:

- `unreadable`: there is no conversation. Turns; at least 1.
- `wrong_roles`: not one system turn if any, then user and assistant in turn, ending with the assistant.
  Turns that are in order, from the first; all of them.
- `empty`: a turn is blank. Blank turns; 0.
- `too_short`, `too_long`: words of the last turn, letters where no blanks part words. Only with a limit.
- `broken`: control or replacement characters, unfilled placeholders, chat-template tokens, JSON where prose
  should be. Such places; 0.
- `other_script`, `other_language`: not the language that is wanted. Share of letters in its scripts; at least .5.
  Its little words over those of the language that has most; at least .4. Only with a language, and for the second one
  of `languages.LITTLE_WORDS`.
- `loop`: a stretch of words stands three times in a row. Times; fewer than 3.
- `cut_off`: the teacher stopped at its limit (`finish_reason` "length"), or the last turn stops inside a
  sentence, quote, bracket or code block. Such signs; 0.
- `broken_markdown`, `broken_json`: a table whose rows differ, a last turn that is no JSON. Only where that is expected.
- `leaked_instruction`: the assistant speaks of its task or of itself as a model. Such places; 0.
- `no_reason`: `because` is blank, or no verbatim span of the last turn. Places where it stands; at least 1.
- `echo_context`, `echo_seed`, `echo_prompt`: the assistant's turns repeat the context card, the seed, or the
  instructions they were made from. Share of their word 8-grams that stand there; dropped from the limit on.

All of it works row by row. What it does not see: text cut exactly after a sentence, in verse, or in a list of phrases
at a word that may end one, and any cut in a language that ends sentences without a sign (Thai, Lao).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import polars as pl

from . import signs
from .columns import in_threads
from .form_checks import (
    LEAST_LETTERS,
    Check,
    broken,
    broken_json,
    broken_markdown,
    cut_off,
    echo,
    empty,
    leaked_instruction,
    loop,
    no_reason,
    other_language,
    other_script,
    too_long,
    too_short,
    unreadable,
    with_echoes,
    with_endings,
    wrong_roles,
)
from .form_views import script_shares, views_of
from .languages import LITTLE_WORDS, scripts_of
from .verdict import FilterError

FORM_REASONS = (
    "unreadable", "wrong_roles", "empty", "too_short", "broken", "other_script", "other_language", "loop", "cut_off",
    "broken_markdown", "broken_json", "leaked_instruction", "no_reason", "echo_context", "echo_seed", "echo_prompt",
    "too_long",
)  # fmt: skip
"""Every reason that `form` may give, in the order in which they are looked for."""

ROWS_AT_ONCE = 2_048
"""A thread holds the views of so many rows: memory does not grow with the frame, and all cores are busy."""

Expects = Literal["prose", "markdown", "json"]


def form(
    frame: pl.DataFrame,
    *,
    ids: str = "id",
    messages: str = "messages",
    because: str | None = "because",
    finish_reason: str | None = "finish_reason",
    seed_text: str | None = None,
    prompt_text: str | None = None,
    context_text: str | None = None,
    seed_echo_limit: float = 0.3,
    prompt_echo_limit: float = 0.3,
    context_echo_limit: float = 0.3,
    language: str | None = None,
    min_words: int | None = None,
    max_words: int | None = None,
    expects: Expects = "prose",
    checks: Iterable[str] = FORM_REASONS,
) -> pl.DataFrame:
    """One verdict per row, in the input's order, with the schema `VERDICT` and `filter` "form".

    Each of `ids` … `context_text` names a column of `frame`. `messages` is a list of structs with `role` and
    `content`; the others are strings. `seed_text`, `prompt_text` and `context_text` hold the text that this row must
    not repeat (the seed's own turns; the instructions it was made from; its context card); a row cannot echo a null.
    None instead of a name leaves out the check that needs the column. An echo limit is a share above 0 and at most 1;
    answers shorter than eight words echo only a text that consists of the same words.

    `language` is a code such as `en`; None, or one that is not known here, leaves its checks out. `min_words` and
    `max_words` bound the assistant's words. `expects` says what the last turn should be. `checks` are the reasons
    that may be given, all by default.

    Raises FilterError where a column is missing or of another type, a limit is no share, or a check is unknown.
    """
    sources = {"context": context_text, "seed": seed_text, "prompt": prompt_text}
    named = {"because": because, "finish_reason": finish_reason, **sources}
    _check_columns(frame, [ids, *(name for name in named.values() if name is not None)], messages)
    limits = {"context": context_echo_limit, "seed": seed_echo_limit, "prompt": prompt_echo_limit}
    for name, limit in limits.items():
        _check_share(f"{name}_echo_limit", limit)
    asked = _asked(checks)
    own_script = language is not None and bool(scripts_of(language))
    known = [unreadable(), wrong_roles(), empty(), broken(json_wanted=expects == "json"), loop(), cut_off()]
    known += [leaked_instruction(), *(echo(source, limit) for source, limit in limits.items())]
    known += [too_short(_whole("min_words", min_words))] if min_words is not None else []
    known += [too_long(_whole("max_words", max_words))] if max_words is not None else []
    known += [other_script()] if own_script else []
    known += [other_language(language)] if language is not None and language in LITTLE_WORDS else []
    known += [broken_markdown()] if expects == "markdown" else [broken_json()] if expects == "json" else []
    known += [no_reason()] if because is not None else []
    chosen = sorted((c for c in known if c.reason in asked), key=lambda c: FORM_REASONS.index(c.reason))

    def judged(first: int) -> pl.DataFrame:
        part = frame.slice(first, ROWS_AT_ONCE)
        views = views_of(part, messages).with_columns(
            pl.lit(None, pl.String).alias(name)
            if column is None
            else part.get_column(column).cast(pl.String).alias(name)
            for name, column in named.items()
        )
        views = with_echoes(with_endings(views), limits)
        if own_script:
            views = views.with_columns(own_script=script_shares(views, str(language), least=LEAST_LETTERS))
        return _verdicts(part.get_column(ids).cast(pl.String), views, chosen)

    return pl.concat(in_threads(judged, range(0, max(frame.height, 1), ROWS_AT_ONCE)))


def _asked(checks: Iterable[str]) -> frozenset[str]:
    asked = frozenset([checks] if isinstance(checks, str) else checks)
    unknown = sorted(asked - set(FORM_REASONS))
    if unknown:
        raise FilterError(
            what=f"checks holds {unknown[0]!r}",
            why="a check that does not exist would be passed by every row",
            do=f"use some of {', '.join(FORM_REASONS)}",
        )
    return asked


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FilterError(
            what=f"{name} is {value!r}", why="it bounds the words of an answer", do="give a whole number, or None"
        )
    return value


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
    lowered = views_of(frame, messages).select(pl.col("answers").str.to_lowercase())
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


def _verdicts(ids: pl.Series, views: pl.DataFrame, checks: list[Check]) -> pl.DataFrame:
    # Each check is looked at once: its expressions stand in three columns of the answer.
    seen = views.select(
        expression.cast(pl.Float64).alias(f"{check.reason}.{name}")
        for check in checks
        for name, expression in (("measured", check.measured), ("limit", check.limit))
    )

    def of_first_failure(name: str) -> pl.Expr:
        found = [
            pl.when(check.failed(pl.col(f"{check.reason}.measured"), pl.col(f"{check.reason}.limit"))).then(
                pl.lit(check.reason) if name == "reason" else pl.col(f"{check.reason}.{name}")
            )
            for check in checks
        ]
        return pl.coalesce(found) if found else pl.lit(None, pl.String if name == "reason" else pl.Float64)

    answers = seen.select(
        reason=of_first_failure("reason"), measured=of_first_failure("measured"), limit=of_first_failure("limit")
    )
    if answers.height != len(ids):  # nothing but literals
        answers = pl.DataFrame(schema=answers.schema).clear(len(ids))
    return answers.select(
        ids.alias("id"),
        filter=pl.lit("form"),
        kept=pl.col("reason").is_null(),
        reason="reason",
        measured="measured",
        limit="limit",
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
