"""levels → findings: the six tests of a judge on one value, each with its threshold, and what to do after a no."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from .agreement import alternative_annotator_test, krippendorff_alpha, weighted_kappa
from .guarantees import exact_bound
from .judge_texts import OTHER_NAMES, USUAL_NAMES, Texts
from .judgings import DOWNWARDS, REWORDED, Floats, Scores
from .models import Models
from .recipe import Recipe
from .validity import (
    FALSELY,
    LADDER,
    SHIFTED,
    STRIPPED,
    STUFFED,
    TELLING,
    Finding,
    added_auc,
    bootstrap_low,
    share_above,
    share_from,
    share_of_way,
)
from .variations import Messages, count_triggers, count_words

GOOD_FROM = 3.0
"""The level from which a text expresses the value: on the rubric, what is particular and whole."""
KAPPA = 0.40
"""Least agreement with the people's median level, quadratic weights: below it is called fair at best (Landis, Koch)."""
LEAST_LABELLED = 50  # texts; the alternative-annotator test asks for as many
LEAST_CONTROLS = 29  # fewer could not show it, were they all right: at least .90 by the exact bound
WINNING = 0.5  # share of the people whom the judge may stand in for
NO_TRIGGERS = "the rubric has no `triggers`: write the words by which one might know this value without reading"


def findings_of(facet: str, recipe: Recipe, texts: Texts, scores: Scores, models: Models, wanted: int) -> list[Finding]:
    """V1 to V6 on one value, in order."""
    levels = scores.by_kind.get(facet, {})
    return [
        *_ladder(facet, texts, levels, wanted),
        *_lexical(facet, recipe, texts, levels),
        _beyond(facet, recipe, texts, scores),
        *_invariance(levels),
        _scope(facet, recipe, scores),
        *_agreement(facet, texts, scores),
        _family(models),
    ]


def _ladder(facet: str, texts: Texts, levels: dict[str, Floats], wanted: int) -> Iterator[Finding]:
    count = len(texts.contexts[facet])
    won, n, low = share_above(_of(levels, "genuine"), _of(levels, "hollow"))
    passed, note = low >= LADDER and count >= wanted, None
    if count < wanted:
        note = (
            f"{count} of {wanted} contexts have both answers: the filters dropped the others, or a reply was no answer"
        )
    elif not passed:
        lost = [draft for draft, up, down in zip(texts.ids[facet], *_ends(levels), strict=True) if not up > down]
        note = f"not above, or without a level: {', '.join(lost[:5])}{' …' if len(lost) > 5 else ''}"
        if won >= LADDER * n:
            note += "; more --contexts narrow the bound"
    yield Finding("V1", "genuine above hollow", "does it see more than good form?", passed, won / n if n else None, low,
                  limit=LADDER, n=n, note=note)  # fmt: skip
    for above, below in (("hollow", "violating"), ("genuine", "over_done")):
        higher, lower = _of(levels, above), _of(levels, below)
        there = np.array([{above, below} <= own.keys() for own in texts.contexts[facet]], np.bool_)
        if higher.size and lower.size and there.any():
            won, n, low = share_above(higher[there], lower[there])
            name = f"{above} above {below.replace('_', '-')}"
            yield Finding("V1", name, "and the rest of the ladder?", None, won / n, low, n=n, note="reported only")


def _lexical(facet: str, recipe: Recipe, texts: Texts, levels: dict[str, Floats]) -> Iterator[Finding]:
    tests = (
        (
            "stripped",
            "genuine",
            -1.0,
            STRIPPED,
            "genuine without trigger words",
            "does the level hold without the words?",
        ),
        ("stuffed", "hollow", 1.0, STUFFED, "hollow with trigger words", "do the words alone raise it?"),
    )
    for changed, original, sign, limit, name, asks in tests:
        if not recipe.rubrics[facet].triggers:
            yield Finding("V2", name, asks, False, limit=limit, note=NO_TRIGGERS, tried=False)
            continue
        genuine, hollow = _ends(levels)
        before = _of(levels, original)
        has = np.array([changed in own for own in texts.contexts[facet]], np.bool_)
        # Where there was no word to take out, the text is as it was, and so is its level.
        after = np.where(has, _of(levels, changed, len(before)), before)
        figure, _, high = share_of_way(sign * after, sign * before, genuine=genuine, hollow=hollow)
        note = f"{int(has.sum())} of {len(has)} texts held such words" if changed == "stripped" else None
        yield _bounded("V2", name, asks, figure, None, high, limit, _answered(after - before), len(has), note)


def _beyond(facet: str, recipe: Recipe, texts: Texts, scores: Scores) -> Finding:
    """V2c, on people's labels where there are enough of both kinds, else on genuine against hollow."""
    name, asks = "more than words and length", "does it add to counting trigger words and length?"
    triggers = recipe.rubrics[facet].triggers
    rows, against = _labelled_rows(facet, texts, scores), "people's labels"
    added = _added(rows, triggers)
    if added is None:
        levels = scores.by_kind.get(facet, {})
        rows = [
            (str(at), own[kind], kind == "genuine", float(levels[kind][at]))
            for at, own in enumerate(texts.contexts[facet])
            for kind in ("genuine", "hollow")
        ]
        added, against = _added(rows, triggers), "genuine against hollow, for want of labels"
    if added is None:
        return Finding("V2", name, asks, False, note="fewer than ten texts of either kind have a level")
    together, alone, low = added
    note = f"AUC {together:.2f} with it, {alone:.2f} without; {against}"
    if alone >= TELLING:
        return Finding.not_tried("V2", name, asks, f"{note}: nothing is left to add", n=len(rows))
    return Finding("V2", name, asks, low > 0, together - alone, low, limit=0.0, n=len(rows), note=note)


Row = tuple[str, Messages, bool, float]
"""(group, conversation, whether it is good, level)"""


def _added(rows: list[Row], triggers: tuple[str, ...]) -> tuple[float, float, float] | None:
    if not rows:
        return None
    baseline = [(count_triggers(messages, triggers), count_words(messages)) for _, messages, _, _ in rows]
    found = added_auc(
        [level for *_, level in rows],
        [good for _, _, good, _ in rows],
        baseline=baseline,
        groups=[group for group, *_ in rows],
    )
    return (found.together, found.alone, found.low) if found else None


def _labelled_rows(facet: str, texts: Texts, scores: Scores) -> list[Row]:
    own = texts.labelled.filter(pl.col("facet") == facet)
    if own["id"].n_unique() < LEAST_LABELLED:
        return []
    means = own.group_by("id", maintain_order=True).agg(pl.col("level").mean(), pl.col("messages").first())
    return [
        (row["id"], row["messages"], row["level"] >= GOOD_FROM, scores.labelled[row["id"]]) for row in means.to_dicts()
    ]


def _invariance(levels: dict[str, Floats]) -> Iterator[Finding]:
    genuine, hollow = _ends(levels)
    tests = (
        ("padded", None, "half as long again", "does length alone move it?"),
        ("markdown", None, "as a list with a heading", "does markup alone move it?"),
        (OTHER_NAMES, USUAL_NAMES, "a name of another language", "does the person's name move it?"),
        (DOWNWARDS, None, DOWNWARDS, "does the order of the levels move it?"),
        (REWORDED, None, "asked in other words", "do our own words move it?"),
    )
    for changed, base, name, asks in tests:
        after = _both(levels, changed)
        before = _both(levels, base) if base else (genuine + hollow) / 2
        figure, low, high = share_of_way(after, before, genuine=genuine, hollow=hollow)
        n = _answered(after - before)
        yield _bounded("V3", name, asks, figure, low, high, SHIFTED, n, len(genuine), None)


def _answered(moved: Floats) -> int:
    return int(np.isfinite(moved).sum())


def _bounded(
    test: str, name: str, asks: str, figure: float, low: float | None, high: float, limit: float, n: int, of: int,
    note: str | None,
) -> Finding:  # fmt: skip
    """A share of the way from hollow to genuine, whose upper bound (with a lower one: both) must keep to `limit`.

    A judge that is silent on many of the `of` changed texts has not shown that it gives them the same level.
    """
    if not np.isfinite(figure):
        return Finding(
            test, name, asks, False, limit=limit, n=n, note="genuine is not above hollow, or nothing has a level"
        )
    passed = high <= limit and (low is None or -limit <= low)
    if n < LADDER * of:
        passed, note = False, f"{of - n} of {of} texts have no level as they were changed"
    return Finding(test, name, asks, bool(passed), figure, low, high, limit, n, note)


def _scope(facet: str, recipe: Recipe, scores: Scores) -> Finding:
    name, asks = "not called for", "does it find the value where it has no place?"
    hits, n, high = share_from(scores.controls.get(facet, ()), good_from=GOOD_FROM)
    if n < LEAST_CONTROLS and (not n or exact_bound(hits, n) <= FALSELY):
        axis = next((axis for axis in recipe.axes if axis != "facet"), "fault")
        how = f'[[heldout.control]] with facet = "{facet}" and a level of {axis} at which it is not called for'
        had = f"{n} control texts have a level, and {LEAST_CONTROLS} show something"
        return Finding.not_tried("V4", name, asks, f"{had}; write {how} in recipe.toml", n=n)
    return Finding("V4", name, asks, high <= FALSELY, hits / n, None, high, FALSELY, n, f"levels from {GOOD_FROM:g}")


def _agreement(facet: str, texts: Texts, scores: Scores) -> Iterator[Finding]:
    name, asks = "agrees with people", "does it rate as people do?"
    own = texts.labelled.filter(pl.col("facet") == facet)
    count = own["id"].n_unique()
    if count < LEAST_LABELLED:
        had = f"{count} labelled texts" if count else "no labels"
        do = f"thousandfold label OUT, {LEAST_LABELLED} texts of the latest release or more"
        yield Finding.not_tried("V5", name, asks, f"{had}: {do}", n=count)
        return
    wide = own.pivot("who", index="id", values="level", aggregate_function="last")
    people = sorted(name for name in wide.columns if name != "id")
    rated = wide.select(people).cast(pl.Float64).fill_null(float("nan")).to_numpy().T
    judge = np.rint(np.array([scores.labelled[text] for text in wide["id"]], np.float64))
    median = np.rint(np.nanmedian(rated, axis=0))
    kappa, low = weighted_kappa(judge, median), bootstrap_low(weighted_kappa, judge, median)
    yield Finding("V5", "kappa with people", asks, bool(low >= KAPPA), kappa, low, limit=KAPPA, n=count,
                  note="quadratic weights, the judge's level and the people's median")  # fmt: skip
    shared = int((np.isfinite(rated).sum(axis=0) >= 2).sum())
    if len(people) < 2 or shared < LEAST_LABELLED:
        yield Finding.not_tried("V5", "stands in for a person", asks, f"{shared} texts have two labels", n=shared)
        return
    alpha = krippendorff_alpha(rated)
    winning = float(alternative_annotator_test(judge, rated).winning_rate)
    note = f"alternative-annotator test, {len(people)} people; their Krippendorff alpha {alpha:.2f}"
    name = "stands in for a person"
    yield Finding("V5", name, asks, winning >= WINNING, winning, limit=WINNING, n=shared, note=note)


def _family(models: Models) -> Finding:
    judges = [models.family(judge) for judge in models.judges]
    teachers = sorted({models.family(teacher) for teacher in models.teachers})
    passed = not set(judges) & set(teachers)
    note = f"judge {', '.join(judges)}; teacher {', '.join(teachers)}"
    return Finding("V6", "another family", "is it of no teacher's family?", passed, note=note)


def _of(levels: dict[str, Floats], kind: str, count: int = 0) -> Floats:
    return levels.get(kind, np.full(count, np.nan))


def _ends(levels: dict[str, Floats]) -> tuple[Floats, Floats]:
    return _of(levels, "genuine"), _of(levels, "hollow")


def _both(levels: dict[str, Floats], change: str) -> Floats:
    """Mean of the genuine and the hollow answer of each context, as changed."""
    count = len(_of(levels, "genuine"))
    return (_of(levels, f"genuine {change}", count) + _of(levels, f"hollow {change}", count)) / 2
