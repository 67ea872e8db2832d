"""drafts → verdicts: run the filters, each saying kept or not, why, what it measured and its limit.

Form works row by row. Duplicates and leaks compare a round's rows with each other and with what the
closed rounds kept; verdicts of closed rounds are final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import polars as pl

from thousandfold import filters

from .recipe import Recipe
from .settings import FilterName
from .tables import VERDICTS, frame, said_by

FILTERS: tuple[str, ...] = get_args(FilterName)
"""In the order in which they run; a row that one drops is not shown to the next."""

LEAK_THRESHOLD = 0.5
"""Jaccard of word 5-grams between a person's turns in training and in a sealed set: half a prompt in common
gives the sealed one away. Lower than for answers, since scaffolding shared by all prompts is rare here."""


class Closed:
    """What the closed rounds kept, as the filters look it up."""

    def __init__(self, recipe: Recipe) -> None:
        settings = recipe.settings.filters
        self.answers = filters.MinHashIndex(
            threshold=settings.near_duplicate_threshold, ngram=settings.near_duplicate_ngram
        )
        self.prompts = {split: filters.MinHashIndex(threshold=LEAK_THRESHOLD) for split in ("train", "heldout")}

    def add(self, kept: pl.DataFrame) -> None:
        """Adds kept drafts (`id`, `split`, `messages`) once their round is closed."""
        self.answers.add(kept["id"], said_by(kept, "assistant"))
        for split, index in self.prompts.items():
            part = kept.filter(pl.col("split") == split)
            index.add(part["id"], said_by(part, "user"))


def give_verdicts(
    drafts: pl.DataFrame, seed_texts: Mapping[str, str], prompt_texts: Mapping[str, str], recipe: Recipe, closed: Closed
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(VERDICTS frame, form scores as `id`, `score`) for a round's drafts.

    `drafts` is a DRAFTS frame with the columns `seed_id` and `split` of its context; the mappings give the
    text that a draft must not echo, by seed id and by draft id. Drafts that a filter dropped have no verdict
    of the filters after it. Held-out drafts are taken before training's, so that a copy leaves training.
    """
    texts = drafts.with_columns(
        _seed_text=pl.col("seed_id").replace_strict(dict(seed_texts), return_dtype=pl.String),
        _prompt_text=pl.col("id").replace_strict(dict(prompt_texts), return_dtype=pl.String),
    )
    scores = filters.form_scores(texts)
    rows = texts.join(scores, on="id", maintain_order="left")
    off = recipe.settings.filters.off
    parts = [_form(rows, recipe)]
    if "duplicates" not in off:
        parts.append(_duplicates(_left(rows, parts), recipe, closed))
    if "leaks" not in off:
        parts.append(_leaks(_left(rows, parts), closed))
    return pl.concat(parts), scores


def kept_ids(verdicts: pl.DataFrame) -> list[str]:
    """Ids that no filter dropped, in the verdicts' own order."""
    dropped = verdicts.filter(~pl.col("kept"))["id"].implode()
    return verdicts.filter(~pl.col("id").is_in(dropped))["id"].unique(maintain_order=True).to_list()


def _left(rows: pl.DataFrame, verdicts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows that no filter has dropped so far."""
    dropped = pl.concat([part.filter(~pl.col("kept"))["id"] for part in verdicts])
    return rows.filter(~pl.col("id").is_in(dropped.implode()))


def _form(rows: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Each row's verdict of form. Switched off, it still drops what is no conversation: nothing could follow it."""
    limit = recipe.settings.filters.max_echo_share
    form = filters.form(
        rows, seed_text="_seed_text", prompt_text="_prompt_text", seed_echo_limit=limit, prompt_echo_limit=limit
    ).select(list(VERDICTS))
    if "form" not in recipe.settings.filters.off:
        return form
    readable = pl.col("reason").ne_missing("unreadable")
    nothing = {name: pl.when(~readable).then(pl.col(name)) for name in ("reason", "measured", "limit")}
    return form.with_columns(kept=readable, **nothing)


def _duplicates(rows: pl.DataFrame, recipe: Recipe, closed: Closed) -> pl.DataFrame:
    """Answers compared with answers: prompts share scaffolding without being copies."""
    settings = recipe.settings.filters
    prefer = rows.select(pl.col("score").fill_null(0) + (pl.col("split") == "heldout")).to_series()
    found = filters.near_duplicates(
        said_by(rows, "assistant"),
        threshold=settings.near_duplicate_threshold,
        ngram=settings.near_duplicate_ngram,
        prefer=prefer,
        against=closed.answers,
    )
    ids = rows["id"].to_list()
    return frame(
        (
            _verdict(
                ids[row],
                "duplicates",
                reason=None if answer["kept"] else "near_duplicate" if answer["jaccard"] < 1 else "duplicate",
                measured=answer["jaccard"],
                limit=settings.near_duplicate_threshold,
                twin=ids[answer["twin"]] if answer["twin"] is not None else answer["twin_key"],
            )
            for row, answer in enumerate(found.iter_rows(named=True))
        ),
        VERDICTS,
    )


def _leaks(rows: pl.DataFrame, closed: Closed) -> pl.DataFrame:
    """Prompts of training against prompts of the sealed sets, in both directions over time."""
    sealed = rows.filter(pl.col("split") == "heldout").sort("id")  # of two equal ones the first is named as twin
    against_train = closed.prompts["train"].query(said_by(sealed, "user"))
    kept = sealed.filter(against_train["twin_key"].is_null())
    fresh = filters.MinHashIndex(threshold=LEAK_THRESHOLD)
    fresh.add(kept["id"], said_by(kept, "user"))
    train = rows.filter(pl.col("split") == "train")
    found = [
        (sealed["id"], against_train),
        (train["id"], _nearer(fresh.query(said_by(train, "user")), closed, train)),
    ]
    return frame(
        (
            _verdict(
                draft_id,
                "leaks",
                reason="held_out_leak" if answer["twin_key"] is not None else None,
                measured=answer["jaccard"],
                limit=LEAK_THRESHOLD,
                twin=answer["twin_key"],
            )
            for ids, answers in found
            for draft_id, answer in zip(ids, answers.iter_rows(named=True), strict=True)
        ),
        VERDICTS,
    )


def _nearer(fresh: pl.DataFrame, closed: Closed, train: pl.DataFrame) -> pl.DataFrame:
    """For each training row the sealed prompt it copies: one of this round's, else one of a closed round's."""
    earlier = closed.prompts["heldout"].query(said_by(train, "user"))
    return pl.DataFrame([fresh[name].fill_null(earlier[name]) for name in ("twin_key", "jaccard")])


def _verdict(draft_id: str, name: str, *, reason: str | None, **measured: Any) -> dict[str, Any]:
    return {"id": draft_id, "filter": name, "kept": reason is None, "reason": reason, **measured}
