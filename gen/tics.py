"""exemplars → caps on how many may begin or end alike, and what the manifest and the card say of their tics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl

from thousandfold import filters

from .recipe import Recipe
from .references import texts_of
from .settings import SelectionSettings
from .tables import said_by

LEAST_CAP = 20
"""So many of one family are always allowed: in a small set a share is a handful, and a cap could make it impossible."""

TEACHER = "teacher"
"""The column of drafts that says who wrote, capped like a family."""

FAMILIES = {"opening": "_opening", "closing": "_closing"}
CAPPED = {"family": pl.String, "value": pl.String, "limit": pl.Int64, "left_out": pl.Int64}


def with_families(rows: pl.DataFrame, texts: pl.Series) -> pl.DataFrame:
    """`rows` with the columns `_opening` and `_closing` of `texts`; null where a text has no word."""
    found = filters.tic_families(texts)
    return rows.with_columns(found[kind].alias(column) for kind, column in FAMILIES.items())


def family_caps(settings: SelectionSettings, size: int) -> dict[str, int]:
    """column → how many exemplars of a family, or of a teacher, a set of `size` may hold; only where fewer than all."""
    shares = {FAMILIES["opening"]: settings.opening_cap, FAMILIES["closing"]: settings.closing_cap}
    counts = {column: max(LEAST_CAP, math.ceil(share * size - 1e-9)) for column, share in shares.items()}
    counts[TEACHER] = math.ceil(settings.teacher_cap * size - 1e-9)
    return {column: count for column, count in counts.items() if count < size}


def families_in_the_way(
    pool: pl.DataFrame, chosen: pl.DataFrame, caps: Mapping[str, int], *, size: int
) -> pl.DataFrame:
    """The full families (`CAPPED`) whose other rows were left out, where a cap left places empty; else none.

    `pool` are the rows that could be chosen; both frames have the columns of `caps`.
    """
    found = []
    if chosen.height < min(size, pool.height):
        for kind, column in {**FAMILIES, TEACHER: TEACHER}.items():
            if column not in caps:
                continue
            limit = caps[column]
            there, inside = Counter(pool[column].drop_nulls()), Counter(chosen[column].drop_nulls())
            full = [(kind, value, limit, there[value] - n) for value, n in inside.items() if n >= limit]
            found += sorted((row for row in full if row[3]), key=lambda row: (-row[3], row[1]))
    return pl.DataFrame(found, schema=CAPPED, orient="row")


def tic_facts(exemplars: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe) -> dict[str, Any]:
    """How the exemplars begin, end and repeat themselves, beside the recipe's reference file, else its seeds."""
    named = recipe.settings.tics.reference
    compared = (
        said_by(seeds, "assistant")
        if named is None
        else texts_of(recipe.path / named, recipe.files[named], part="answer")
    )
    return {"reference": named or "seeds"} | filters.tic_rates(said_by(exemplars, "assistant"), reference=compared)
