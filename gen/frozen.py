"""Seals: held-out sets get a hash in the ledger before anything is asked; a later run that changes them says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

import polars as pl

from .contexts import plan_contexts
from .ledger import Ledger
from .recipe import Recipe

NOTE = "sealed sets"


def set_sums(contexts: pl.DataFrame, seeds: pl.DataFrame) -> dict[str, str]:
    """Held-out set -> SHA-256 over its contexts in their order, and over the seeds that they descend from."""
    texts = {row["id"]: json.dumps(row["messages"], sort_keys=True) for row in seeds.to_dicts()}
    sums = {}
    for (name,), part in (
        contexts.filter(pl.col("split") == "heldout").sort("set", "position").group_by("set", maintain_order=True)
    ):
        digest = sha256()
        for row in part.iter_rows(named=True):
            digest.update(json.dumps([row, texts[row["seed_id"]]], sort_keys=True).encode())
        sums[str(name)] = digest.hexdigest()
    return sums


def freeze(recipe: Recipe, seeds: pl.DataFrame, ledger: Ledger, *, heldout: int) -> list[str]:
    """Notes the hashes of the `heldout` sealed contexts in the ledger; a sentence for each set that has changed.

    Sets that only grow or shrink are the same sets: a smaller one is a prefix of a larger one, and the hashes of as
    many contexts as were noted are compared. The largest is kept.
    """
    before = ledger.note(NOTE)
    if before is not None:
        again = set_sums(plan_contexts(recipe, seeds, train=0, heldout=before["heldout"]), seeds)
        changed = _changed(before["sets"], again)
        if not changed and heldout <= before["heldout"]:
            return []
    else:
        changed = []
    sums = set_sums(plan_contexts(recipe, seeds, train=0, heldout=heldout), seeds)
    ledger.put_note(NOTE, {"heldout": heldout, "sets": sums})
    return [
        f"the sealed set {name} is not the one that was frozen here before: what was trained on earlier releases of "
        "this output may have met it"
        for name in changed
    ]


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
