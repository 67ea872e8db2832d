"""What a run says of its plan and of what it gives up, as sentences."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from .deficits import Tally
from .recipe import Recipe


def not_sealed(recipe: Recipe, seeds: pl.DataFrame) -> Iterator[str]:
    """Held-out prompts need lineages of their own: a facet with too few seeds has none, and that is said."""
    sealed = set(seeds.filter(pl.col("split") == "heldout")["facet"])
    without = [facet for facet in recipe.train_levels["facet"] if facet not in sealed]
    if recipe.settings.heldout.share and without:
        why = "a facet needs four seeds, or one on a sealed level"
        yield f"no sealed prompts of {', '.join(without)}: {why}"


def newly_closed(before: Tally, now: Tally) -> Iterator[str]:
    """Each cell that gets no more money, once."""
    known = {gone.cell for gone in before.given_up}
    yield from (f"gives up {gone.words}" for gone in now.given_up if gone.cell not in known)
    for axis, level in sorted(now.saturated - before.saturated):
        yield f"{axis} = {level} is saturated: its drafts bring hardly a new idea any more"
