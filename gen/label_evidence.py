"""labels, and the scores of the texts they were given for → what may be learnt from, and what is set aside, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import polars as pl

from .calibration import LEAST_LABELS, LEAST_OF_A_KIND
from .errors import RecipeError
from .recipe import Rubric

GOOD_FROM = 3.0
"""The mean level from which people say that a text expresses the value: on the rubric, what is particular and whole."""
WEAK_SHARE = 0.2
"""A judge that would ship less of what was kept is called too weak for the target."""


@dataclass(frozen=True)
class Known:
    """Labels of one facet.

    ids         of the texts with a label drawn at random and a score: what a promise may be learnt from
    scores, good  (n,) of these, in the same order
    set_aside   labelled texts that do not count, by reason
    usable      every label of a text that is as it was and has a score, also those not drawn at random: LABELS columns
                and `level_judge`, `score`
    people      `id, score, said, good` of every text with a usable label: the mean of its labels, whether that is good
    """

    ids: list[str]
    scores: npt.NDArray[np.float64]
    good: npt.NDArray[np.bool_]
    set_aside: Mapping[str, int]
    usable: pl.DataFrame
    people: pl.DataFrame

    @property
    def missing(self) -> str | None:
        """What is short for a promise, in words; None where nothing is."""
        count, good = len(self.good), int(self.good.sum())
        if count < LEAST_LABELS:
            return f"{count} of at least {LEAST_LABELS} labels drawn at random: label {LEAST_LABELS - count} more"
        few, kind = min((good, "good"), (count - good, "not good"))
        if few < LEAST_OF_A_KIND:
            return f"{few} of {count} labelled texts are {kind}, and at least {LEAST_OF_A_KIND} must be: label more"
        return None


def known_labels(texts: pl.DataFrame, said: pl.DataFrame, rubric: Rubric, good_from: float) -> Known:
    """The labels `said` of one facet's `texts` (`id, level, score, text_sha256`), as far as they hold for its scores.

    A score is always the one that stands in `texts`, of the judge and the prompts of now. Set aside are labels whose
    text is not among them, has changed or has no score, and those that were given for another wording of the rubric.
    Of several people's levels the mean counts: from `good_from` on the text is good.
    """
    known = said.join(texts.select("id", "level", "score", now="text_sha256"), on="id", how="left", suffix="_judge")
    known = known.with_columns(
        aside=pl.when(pl.col("now").is_null())
        .then(pl.lit("not in this release"))
        .when(pl.col("now") != pl.col("text_sha256"))
        .then(pl.lit("the text has changed"))
        .when(pl.col("rubric_sha256") != rubric_sum(rubric))
        .then(pl.lit("labelled by another wording of the rubric"))
        .when(pl.col("score").is_null())
        .then(pl.lit("the judge gave no score"))
    )
    aside = dict(known.drop_nulls("aside").unique("id")["aside"].value_counts(sort=True).iter_rows())
    usable = known.filter(pl.col("aside").is_null()).drop("aside", "now")
    rows = _means(usable.filter(pl.col("drawn") == "random"), good_from)
    if chosen := usable.filter(pl.col("drawn") != "random")["id"].n_unique():
        aside["not drawn at random"] = chosen
    return Known(
        ids=rows["id"].to_list(),
        scores=rows["score"].to_numpy(),
        good=rows["good"].to_numpy().astype(np.bool_),
        set_aside=aside,
        usable=usable,
        people=_means(usable, good_from),
    )


def _means(labels: pl.DataFrame, good_from: float) -> pl.DataFrame:
    texts = labels.group_by("id", maintain_order=True)
    return texts.agg(pl.col("score").first(), said=pl.col("level").mean(), good=pl.col("level").mean() >= good_from)


def rubric_sum(rubric: Rubric) -> str:
    """SHA-256 of everything that a rubric says, hexadecimal."""
    return sha256(json.dumps(rubric.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def check_good_from(good_from: float) -> None:
    """Raises RecipeError for a level from which no text could be good, or none could not."""
    if isinstance(good_from, bool) or not isinstance(good_from, (int, float)) or not 0 < good_from <= 4:
        raise RecipeError(
            what=f"good_from is {good_from!r}",
            why="it is the level from which people call a text good",
            do="give a number above 0 and at most 4, such as 3",
        )
