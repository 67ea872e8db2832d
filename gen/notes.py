"""What a run says of itself in sentences, beside its counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from .deficits import Tally
from .events import Event, OnEvent
from .recipe import Recipe


def note(texts: Iterable[str], on_event: OnEvent) -> None:
    """Says each of them."""
    for text in texts:
        on_event(Event("note", {"text": text}))


def not_sealed(recipe: Recipe, seeds: pl.DataFrame) -> Iterator[str]:
    """Held-out prompts need lineages of their own: a facet with too few seeds has none."""
    sealed = set(seeds.filter(pl.col("split") == "heldout")["facet"])
    without = [facet for facet in recipe.train_levels["facet"] if facet not in sealed]
    if recipe.settings.heldout.share and without:
        yield f"no sealed prompts of {', '.join(without)}: a facet needs four seeds, or one on a sealed level"


def closed(before: Tally, now: Tally) -> Iterator[str]:
    """Each cell that gets no more money, once."""
    known = {gone.cell for gone in before.given_up}
    for gone in now.given_up:
        if gone.cell not in known:
            yield f"gives up {gone.words}"
    for axis, level in sorted(now.saturated - before.saturated):
        yield f"{axis} = {level} is saturated: its drafts bring hardly a new idea any more"
