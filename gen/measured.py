"""All that is measured of a release beside its counts: tics, breadth, and how the values are expressed."""

from __future__ import annotations

from typing import Any

import polars as pl

from .breadth_report import diversity_facts
from .expression_report import expression_facts
from .recipe import Recipe
from .state import State
from .tics import tic_facts

TOLD = ("diversity", "expression", "pairs")
"""Those of them that the summary of a run has, too."""


def measured_facts(
    selected: pl.DataFrame, pool: pl.DataFrame, seeds: pl.DataFrame, state: State, recipe: Recipe
) -> dict[str, Any]:
    """Parts of the manifest and the card: `tics`, `diversity`, `levels`, and `expression` where somebody judged."""
    train = state.kept.filter(pl.col("split") == "train")
    return {
        "tics": tic_facts(selected, seeds, recipe),
        **diversity_facts(selected, pool, seeds, recipe),
        **expression_facts(train, state.judgements, selected, recipe),
    }
