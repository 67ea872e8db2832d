"""judgements and people's labels → which drafts may be selected, under a promise that is said in words.

Needs all rows of a facet. Off unless the recipe asks for it (`[acceptance]`). What is not accepted stays in the
tables, with the reason, what was measured and the limit. The promise is about the accepted drafts; which of them the
sampler takes is its own choice, and what an audit is for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl

from .guarantees import (
    Accepted,
    conformal_promise,
    conformal_selection,
    high_probability_promise,
    high_probability_selection,
)
from .label_evidence import WEAK_SHARE, Known, known_labels
from .labelbook import LABELS, labels, text_sum
from .output import Output
from .recipe import Recipe
from .settings import AcceptanceSettings
from .tables import VERDICTS, frame

FILTER = "acceptance"
BELOW, BY_PEOPLE, NOTHING = "below_acceptance", "labelled_not_good", "nothing_acceptable"
SHORT = 1.1
"""Beyond what the accepted share asks for, of the pool that is advised: the share is an estimate."""


@dataclass(frozen=True)
class Acceptance:
    """pool: the drafts that may be selected; verdicts: VERDICTS rows of the others; facts for manifest and card."""

    pool: pl.DataFrame
    verdicts: pl.DataFrame
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass
class _Facet:
    """What came of one facet."""

    told: dict[str, Any]
    refused: pl.DataFrame = field(default_factory=lambda: frame([], VERDICTS))
    used: list[str] = field(default_factory=list)


def accept_drafts(pool: pl.DataFrame, output: Output, recipe: Recipe) -> Acceptance:
    """Of `pool` (`id, facet, messages, state, _quality`) those that labels in the ledger of `output` let through.

    Facet by facet, by conformal selection at `alpha` or the high-probability rule at `target` and `delta`, from the
    labels that were drawn at random, beside the scores of this very run. A text that people labelled is decided by
    their labels, not by its score: that can only lower the share of bad ones, because no promise is learnt from what
    it is made for. With too few labels for a facet nothing of it is filtered, and that is said. Pure but for reading
    the labels.
    """
    settings = recipe.settings.acceptance
    if settings.rule == "none":
        return Acceptance(pool, frame([], VERDICTS), {})
    said = labels(output.path)
    facets = {
        facet: _facet(pool.filter(pl.col("facet") == facet), said.filter(pl.col("facet") == facet), recipe, facet)
        for facet in recipe.rubrics
    }
    refused = pl.concat([facet.refused for facet in facets.values()])
    used = sorted(draft_id for facet in facets.values() for draft_id in facet.used)
    kept = pool.filter(~pl.col("id").is_in(refused["id"].implode()))
    told = {
        "rule": settings.rule,
        "promise": _promise(settings),
        **{name: getattr(settings, name) for name in _LIMITS[settings.rule]},
        "good_from": settings.good_from,
        "labels": {"texts": len(used), "sha256": _labels_sum(said.filter(pl.col("id").is_in(used)))},
        "facets": [facet.told for facet in facets.values()],
    }
    return Acceptance(kept, refused, {"acceptance": told}, tuple(_notes(told, pool, kept, recipe)))


_LIMITS = {"conformal": ("alpha",), "high_probability": ("target", "delta")}


def _facet(texts: pl.DataFrame, said: pl.DataFrame, recipe: Recipe, facet: str) -> _Facet:
    settings = recipe.settings.acceptance
    known = known_labels(_with_sums(texts, said), said, recipe.rubrics[facet], settings.good_from)
    told: dict[str, Any] = {
        "facet": facet,
        "filtered": False,
        "why_not": known.missing,
        "labels": len(known.ids),
        "good": int(known.good.sum()),
        "set_aside": dict(known.set_aside),
        "drafts": texts.height,
        "accepted": texts.height,
        "share": None,
        "threshold": None,
        "too_weak": False,
    }
    if texts.filter(pl.col("state") == "scored").is_empty():
        return _Facet(told | {"why_not": "no draft has a score"})
    if known.missing:
        return _Facet(told)
    rest = texts.filter(~pl.col("id").is_in(known.ids)).select("id", "_quality")
    found = _rule(rest["_quality"].to_numpy(), known, settings)
    passed = rest.select("id").with_columns(passed=pl.Series(found.kept))
    refused = _refused(texts, passed, known, found, settings)
    told |= {
        "filtered": True,
        "accepted": texts.height - refused.height,
        "share": found.share,  # of those that nobody labelled at random
        "threshold": found.threshold,
        "too_weak": not rest.is_empty() and found.share < WEAK_SHARE,
    }
    return _Facet(told, refused, known.people["id"].to_list())


def _with_sums(texts: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """`id, level, score, text_sha256` of the labelled ones: a sum of a million others would be for nothing."""
    own = texts.filter(pl.col("id").is_in(said["id"].implode()))
    sums = pl.Series([text_sum(messages) for messages in own["messages"]], dtype=pl.String)
    score = pl.when(pl.col("state") == "scored").then("_quality")
    return own.select("id", (score * 4).alias("level"), score.alias("score")).with_columns(text_sha256=sums)


def _rule(scores: np.ndarray[Any, Any], known: Known, settings: AcceptanceSettings) -> Accepted:
    if settings.rule == "conformal":
        return conformal_selection(scores, labelled=known.scores, good=known.good, alpha=settings.alpha)
    return high_probability_selection(
        scores, labelled=known.scores, good=known.good, target=settings.target, delta=settings.delta
    )


def _refused(
    texts: pl.DataFrame, passed: pl.DataFrame, known: Known, found: Accepted, settings: AcceptanceSettings
) -> pl.DataFrame:
    """A VERDICTS row for each text that is not accepted; what people said of a text goes before its score."""
    rows = texts.select("id", "_quality").join(passed, on="id", how="left", maintain_order="left")
    rows = rows.join(known.people.select("id", "said", "good"), on="id", how="left", maintain_order="left")
    by_people = pl.col("good").is_not_null()
    return rows.filter(~pl.coalesce("good", "passed")).select(
        "id",
        filter=pl.lit(FILTER),
        kept=pl.lit(False),
        reason=pl.when(by_people).then(pl.lit(BY_PEOPLE)).otherwise(pl.lit(BELOW if found.kept.any() else NOTHING)),
        measured=pl.when(by_people).then("said").otherwise("_quality"),
        limit=pl.when(by_people).then(pl.lit(settings.good_from)).otherwise(pl.lit(found.threshold, pl.Float64)),
        twin=pl.lit(None, pl.String),
    )


def _promise(settings: AcceptanceSettings) -> str:
    if settings.rule == "conformal":
        return conformal_promise(settings.alpha)
    return high_probability_promise(settings.target, settings.delta)


def _labels_sum(said: pl.DataFrame) -> str:
    """SHA-256 over the labels that were used, whatever their order: id, facet, who, level and sums, a line each."""
    names = [name for name in LABELS if name in ("id", "facet", "who", "level", "drawn", "text_sha256")]
    lines = sorted(json.dumps(row) for row in said.select(names).iter_rows())
    return sha256("\n".join(lines).encode()).hexdigest()


def _notes(told: Mapping[str, Any], pool: pl.DataFrame, kept: pl.DataFrame, recipe: Recipe) -> list[str]:
    notes = [f"accepts by {told['promise']}"]
    for facet in told["facets"]:
        name = facet["facet"]
        if not facet["filtered"]:
            notes.append(f"{name}: not filtered, {facet['why_not']}")
            continue
        words = f"{name}: {facet['accepted']} of {facet['drafts']} drafts accepted"
        if facet["too_weak"]:
            words += (
                f"; it would ship {facet['share']:.0%} of those without a label: this judge is too weak for that "
                "target, or the labels are too few"
            )
        notes.append(words)
    size = recipe.settings.size
    if kept.height < size and pool.height >= size:
        advice = "no pool is large enough: better the judge, or set a lower target"
        if kept.height:
            wanted = math.ceil(10 * SHORT * recipe.settings.selection.pool * size / kept.height) / 10
            advice = f"selection.pool = {wanted:g} would hold about enough"
        notes.append(f"{kept.height} drafts are accepted and {size} are asked for: {advice}")
    return notes
