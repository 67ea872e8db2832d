"""judgements → how evenly a value is expressed across contexts: by facet and by level of each axis. Needs all rows.

Scores are the judge's. Answers that descend from one seed are alike, so intervals treat a seed's answers as one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold.filters.statistics import benjamini_hochberg

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CONFIDENCE = 0.95
FALSE_SHARE = 0.05
"""Of the levels that are named as weaker, so many may be so by chance (Benjamini and Hochberg)."""
LEAST_IN_LEVEL = 5
"""With fewer scored answers a level is not compared: its mean says little."""
WORST = 0.1

FACETS: Mapping[str, type[pl.DataType]] = {
    "facet": pl.String,
    "judged": pl.UInt32,  # answers that were shown to the judge
    "scored": pl.UInt32,  # of them those with a score; the others are unscored, which is not zero
    "selected": pl.UInt32,
    "mean": pl.Float64,  # of the scores, 0 to 1
    "low": pl.Float64,  # 95 % interval of the mean, by seed; null with fewer than two seeds
    "high": pl.Float64,
    "selected_mean": pl.Float64,  # of the selected ones
    "worst_tenth": pl.Float64,  # mean of the lowest tenth, rounded up to whole answers
    "spread": pl.Float64,  # of the axis whose levels differ most: s.d. of their true means
    "spread_axis": pl.String,
    "weaker": pl.UInt32,  # levels whose mean lies below that of all others, and not by chance
}
LEVELS: Mapping[str, type[pl.DataType]] = {
    "facet": pl.String,
    "axis": pl.String,
    "level": pl.String,
    "judged": pl.UInt32,
    "scored": pl.UInt32,
    "selected": pl.UInt32,
    "mean": pl.Float64,
    "shrunk": pl.Float64,  # the mean, drawn towards the facet's by as much as chance explains
    "p": pl.Float64,  # adjusted, that it is as high as at the other levels; null where too few were scored
    "weaker": pl.Boolean,
}
EVIDENCE: Mapping[str, type[pl.DataType]] = {
    "facet": pl.String,
    "item": pl.String,
    "asked": pl.UInt32,  # answers whose evidence was asked for and read
    "shown": pl.UInt32,  # of them those with a verbatim span for the item
}


def facets(rows: pl.DataFrame, axes: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(`FACETS` frame, `LEVELS` frame) of judged answers: `facet`, `seed_id`, `score`, `selected`, the `axes`.

    `score` is in [0, 1], null where the judge gave none. A facet's interval is Student's, by seed (cluster-robust, one
    degree of freedom less than there are seeds). The spread of an axis is the square root of DerSimonian and Laird's
    between-level variance (Controlled Clinical Trials 7, 1986), and a level's shrunk mean the empirical Bayes one that
    goes with it. A level is weaker where Welch's one-sided test against the facet's other answers, adjusted over all
    levels of all axes of the facet, says so at 5 %.
    """
    told, cells = [], []
    for (facet,), part in rows.group_by("facet", maintain_order=True):
        scored = part.filter(pl.col("score").is_not_null())
        own = list(_levels(str(facet), part, scored, [axis for axis in axes if axis != "facet"]))
        cells += own
        told.append(_facet(str(facet), part, scored, own))
    tables = pl.DataFrame(told, schema=FACETS, orient="row"), pl.DataFrame(cells, schema=LEVELS, orient="row")
    return tables[0].sort("facet"), tables[1]


def evidence(rows: pl.DataFrame, items: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """`EVIDENCE` frame: how often each item of a facet's rubric was shown. `rows` has `facet`, `spans`, `asked`."""
    found = []
    asked = rows.filter(pl.col("asked"))
    for facet, names in items.items():
        own = asked.filter(pl.col("facet") == facet)
        shown = own["spans"].list.eval(pl.element().struct.field("item").unique()).explode().drop_nulls()
        counts = dict(shown.value_counts().iter_rows())
        found += [(facet, item, own.height, counts.get(item, 0)) for item in names]
    return pl.DataFrame(found, schema=EVIDENCE, orient="row")


def _facet(facet: str, part: pl.DataFrame, scored: pl.DataFrame, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scores = scored["score"].to_numpy()
    chosen = scored.filter("selected")["score"]
    axis, spread = _widest(cells)
    low, high = _interval(scores, scored["seed_id"].rank("dense").to_numpy().astype(np.int64))
    return {
        "facet": facet,
        "judged": part.height,
        "scored": len(scores),
        "selected": int(part["selected"].sum()),
        "mean": _rounded(scores.mean()) if len(scores) else None,
        "low": _rounded(low),
        "high": _rounded(high),
        "selected_mean": _rounded(chosen.mean()),  # type: ignore[arg-type]
        "worst_tenth": _rounded(np.sort(scores)[: max(1, -(-len(scores) // int(1 / WORST)))].mean())
        if len(scores)
        else None,
        "spread": _rounded(spread),
        "spread_axis": axis,
        "weaker": sum(bool(cell["weaker"]) for cell in cells),
    }


def _interval(scores: Floats, seeds: Ints) -> tuple[float | None, float | None]:
    from scipy.special import stdtrit

    groups = np.unique(seeds, return_inverse=True)[1]
    count = int(groups.max()) + 1 if len(groups) else 0
    if count < 2:
        return None, None
    middle = float(scores.mean())
    sums = np.bincount(groups, scores - middle)
    error = float(np.sqrt((sums**2).sum() * count / (count - 1))) / len(scores)
    half = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * error
    return max(0.0, middle - half), min(1.0, middle + half)


def _levels(facet: str, part: pl.DataFrame, scored: pl.DataFrame, axes: Sequence[str]) -> Iterator[dict[str, Any]]:
    cells = []
    scores = scored["score"].to_numpy()
    for axis in axes:
        levels = part[axis].drop_nulls().unique().sort().to_list()
        inside = [scored[axis].eq_missing(level).to_numpy() for level in levels]
        shrunk = _shrunk([scores[places] for places in inside], scores)
        for level, places, mean in zip(levels, inside, shrunk, strict=True):
            own = part.filter(pl.col(axis) == level)
            cells.append(
                {
                    "facet": facet,
                    "axis": axis,
                    "level": level,
                    "judged": own.height,
                    "scored": int(places.sum()),
                    "selected": int(own["selected"].sum()),
                    "mean": _rounded(scores[places].mean()) if places.any() else None,
                    "shrunk": _rounded(mean),
                    "p": _p_value(scores[places], scores[~places]),
                }
            )
    compared = [cell for cell in cells if cell["p"] is not None]
    adjusted = benjamini_hochberg([cell["p"] for cell in compared])
    for cell, p in zip(compared, adjusted, strict=True):
        cell["p"] = _rounded(float(p))
    for cell in cells:
        yield {**cell, "weaker": cell["p"] is not None and cell["p"] <= FALSE_SHARE}


def _shrunk(parts: Sequence[Floats], scores: Floats) -> list[float | None]:
    """The mean of each part, drawn towards the mean of all by the share of its variance that is noise."""
    if len(scores) < 2:
        return [float(part.mean()) if len(part) else None for part in parts]
    between, noise, middle = _between(parts, scores), _noise(parts), float(scores.mean())
    made: list[float | None] = []
    for part in parts:
        own = noise / len(part) if len(part) else 0.0
        keep = between / (between + own) if between + own > 0 else 0.0
        made.append(middle + keep * (float(part.mean()) - middle) if len(part) else None)
    return made


def _noise(parts: Sequence[Floats]) -> float:
    """Variance within parts, pooled."""
    freedom = sum(len(part) - 1 for part in parts if len(part))
    return (
        sum(float(((part - part.mean()) ** 2).sum()) for part in parts if len(part)) / freedom if freedom > 0 else 0.0
    )


def _between(parts: Sequence[Floats], scores: Floats) -> float:
    """Variance of the parts' true means (DerSimonian and Laird), at least 0."""
    parts, noise = [part for part in parts if len(part)], _noise(parts)
    if len(parts) < 2:
        return 0.0
    sizes = np.array([len(part) for part in parts], np.float64)
    means = np.array([part.mean() for part in parts])
    apart = float((sizes * (means - scores.mean()) ** 2).sum())
    return max(0.0, (apart - noise * (len(parts) - 1)) / float(sizes.sum() - (sizes**2).sum() / sizes.sum()))


def _widest(cells: Sequence[Mapping[str, Any]]) -> tuple[str | None, float | None]:
    """The axis whose levels' shrunk means differ most, and their standard deviation weighted by answers."""
    spreads = {}
    for axis in dict.fromkeys(cell["axis"] for cell in cells):
        own = [
            (cell["shrunk"], cell["scored"]) for cell in cells if cell["axis"] == axis and cell["shrunk"] is not None
        ]
        if len(own) > 1:
            means, sizes = np.array(own, np.float64).T
            middle = np.average(means, weights=sizes)
            spreads[axis] = float(np.average((means - middle) ** 2, weights=sizes) ** 0.5)
    if not spreads:
        return None, None
    axis = max(spreads, key=lambda name: (spreads[name], name))
    return axis, spreads[axis]


def _p_value(own: Floats, others: Floats) -> float | None:
    """Welch's test that `own` has as high a mean as `others`, one-sided; None where either is too small."""
    from scipy.special import stdtr

    if min(len(own), len(others)) < LEAST_IN_LEVEL:
        return None
    gap = float(own.mean() - others.mean())
    parts = float(own.var(ddof=1)) / len(own), float(others.var(ddof=1)) / len(others)
    error = sum(parts)
    if error == 0:
        return 0.0 if gap < 0 else 1.0
    freedom = error**2 / (parts[0] ** 2 / (len(own) - 1) + parts[1] ** 2 / (len(others) - 1))
    return float(stdtr(freedom, gap / error**0.5))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
