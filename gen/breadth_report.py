"""release → what is said of its breadth: measures beside a random choice and the seeds, and levels beside targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import polars as pl
from rich.table import Table

from .breadth import diversity
from .contexts import allowed_forbid
from .recipe import Recipe
from .selection import quota_targets
from .tables import said_by

Row = Mapping[str, Any]


def _share(value: float) -> str:
    return f"{value:.1%}"


def _plain(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _count(value: float) -> str:
    """Of one choice a whole number, of several their mean."""
    return f"{value:,.0f}" if value == int(value) else _plain(value)


def _fine(value: float) -> str:
    return f"{value:.3f}"


COLUMNS: Sequence[tuple[str, str, Callable[[float], str]]] = (
    ("pairs", "pairs", _share),
    ("triples", "triples", _share),
    ("Vendi", "vendi", _plain),
    ("RKE", "rke", _plain),
    ("openings", "openings", _plain),
    ("zlib", "compression", lambda value: f"{value:.2f}"),
    ("distinct-1", "distinct_1", _fine),
    ("distinct-2", "distinct_2", _fine),
    ("distinct-3", "distinct_3", _fine),
    ("nearest", "nearest_median", _fine),
    ("5 % nearer", "nearest_low", _fine),
    ("ideas", "ideas", _count),
    ("at least", "ideas_estimate", _plain),
    ("up to", "ideas_high", _plain),
)
ON_SCREEN = ("pairs", "triples", "vendi", "openings", "compression", "nearest_median", "ideas")
"""What fits beside each other on eighty columns, of a hundred thousand rows too; the card has them all."""

LEGEND = (
    "`pairs`, `triples`: share of the combinations of two and three levels that training may see. `Vendi` and `RKE`: "
    "effective number of directions among the answers' vectors. `openings`: effective number of ways to begin. `zlib`: "
    "bytes over compressed bytes (lower is more varied). `distinct-n`: different word n-grams over all. `nearest`: "
    "median of 1 - cosine with the most similar other answer; for a twentieth it is below `5 % nearer`. `ideas`: "
    "clusters of answers, how many there are `at least` by Chao's estimate (where some came twice), and `up to` where "
    "its 95 % interval ends. Vectors "
    "are those of the offline embedder, which sees words and pairs of words. Most measures move with the number of "
    "rows: compare lines of the same number. `random` is the mean of five random choices from the same pool; from "
    "2,000 rows up it is one choice."
)


def diversity_facts(selected: pl.DataFrame, pool: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe) -> dict[str, Any]:
    """`diversity`: rows of `DIVERSITY` as plain values; `levels`: axis → level → count and target."""
    axes = recipe.train_levels
    measured = diversity(
        _answers(selected, axes),
        text="answer",
        axes=axes,
        forbid=allowed_forbid(recipe, axes),
        pool=_answers(pool, axes),
        seeds=said_by(seeds, "assistant"),
        seed=recipe.settings.seed,
    )
    targets = quota_targets(recipe)
    counts = {axis: Counter(selected[axis]) for axis in axes}
    levels = {
        axis: {level: {"count": counts[axis][level], "target": targets[axis][level]} for level in known}
        for axis, known in axes.items()
    }
    return {"diversity": measured.to_dicts(), "levels": levels}


def _answers(rows: pl.DataFrame, axes: Iterable[str]) -> pl.DataFrame:
    return rows.select(list(axes)).with_columns(said_by(rows, "assistant").alias("answer"))


def card_section(rows: Sequence[Row]) -> str:
    """The table of the card, largest number of rows first, and what its columns say."""
    shown = ["of", "rows", *(name for name, _, _ in COLUMNS)]
    lines = [f"| {' | '.join(shown)} |", f"|---|{'---:|' * (len(shown) - 1)}"]
    for row in _ordered(rows):
        cells = [str(row["of"]), f"{row['size']:,}", *(_cell(row[key], form) for _, key, form in COLUMNS)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", LEGEND])


def diversity_table(rows: Sequence[Row]) -> Table:
    """The same for a screen, in fewer columns."""
    table = Table(title="how varied", title_justify="left", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    table.add_column("of")
    own = [(name, key, form) for name, key, form in COLUMNS if key in ON_SCREEN]
    for name, _, _ in own:
        table.add_column(name, justify="right")
    last = None
    for row in _ordered(rows):
        size = f"{row['size']:,}"
        table.add_row("" if size == last else size, row["of"], *(_cell(row[key], form) for _, key, form in own))
        last = size
    return table


def _ordered(rows: Sequence[Row]) -> list[Row]:
    kinds = ("selected", "random", "seeds")
    return sorted(rows, key=lambda row: (-row["size"], kinds.index(row["of"])))


def _cell(value: float | None, form: Callable[[float], str]) -> str:
    return "-" if value is None else form(value)
