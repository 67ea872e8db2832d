"""Prints how many exemplars rehearsal can compose until two are alike, as every default filter sees them.

    python benchmarks/rehearsal.py                    22,000 of the respect recipe
    python benchmarks/rehearsal.py --exemplars 5000

Clean exemplars only: no flaw is planted. Every tenth counts as sealed, so that the filter of leaks has something to
compare with. Families are those of `filters.tic_families`; their effective number is 1 / Σ p² (Simpson).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thousandfold import filters
from thousandfold.gen import recipe as recipes
from thousandfold.gen.recipe import Recipe
from thousandfold.gen.tables import MESSAGES, VERDICTS, said_by
from thousandfold.gen.teachers.base import Message
from thousandfold.gen.teachers.rehearsal import Dials, reply
from thousandfold.gen.teachers.rehearsal.draws import Draws
from thousandfold.gen.verdicts import Closed, Sources, give_verdicts, kept_ids

RECIPE = Path(__file__).parent.parent / "examples" / "respect"
CLEAN = Dials(near_copy=0, cut_off=0, hollow=0)
FLOOR = 0.3  # of the search for the closest pair: below it, pairs are not listed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exemplars", type=int, default=22_000)
    asked = parser.parse_args()
    recipe = recipes.load(RECIPE)
    started = time.perf_counter()
    drafts = composed(recipe, asked.exemplars)
    say(f"composed  {drafts.height:8,}  ({drafts.height / (time.perf_counter() - started):,.0f} a second)")
    kept = filtered(drafts, recipe)
    say(f"distinct  {kept.height:8,}  left by every default filter")
    closest(kept)
    families(kept)


def composed(recipe: Recipe, count: int) -> pl.DataFrame:
    """A situation and then the exemplar of it for each drawn card, as a run has them asked for."""
    rows = []
    for number, card in zip(range(count), cards(recipe), strict=False):
        about = "\n".join(["<card>", *(f"{axis}: {level}" for axis, level in card.items()), "</card>"])
        told = said(f"{about}\nWrite exactly 1 different situations.", number)["situations"][0]["situation"]
        exemplar = said(f"{about}\n<situation>\n{told}\n</situation>", number)
        split = "train" if number % 10 else "heldout"
        row = {"id": f"{number:08}", "split": split, "seed_id": split, "facet": card["facet"]}
        rows.append({**row, "finish_reason": "stop", **exemplar, "_card": about, "_told": told})
    texts = ("id", "split", "seed_id", "facet", "finish_reason", "because", "_card", "_told")
    return pl.DataFrame(rows, schema={**dict.fromkeys(texts, pl.String), "messages": MESSAGES})


def cards(recipe: Recipe) -> Iterator[dict[str, str]]:
    """Endless drawn cards that the recipe does not forbid."""
    draws = Draws("cards")
    while True:
        card = {axis: draws.pick(levels) for axis, levels in recipe.levels.items()}
        if not any(forbidden.items() <= card.items() for forbidden in recipe.never):
            yield card


def said(text: str, seed: int) -> Mapping[str, Any]:
    read: dict[str, Any] = json.loads(reply([Message("user", text)], seed=seed, dials=CLEAN).text)
    return read


def filtered(drafts: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """What the filters of a run leave, with the recipe's own settings; prints what each of them drops."""
    ids = drafts["id"].to_list()
    asked = dict(zip(ids, drafts["_told"], strict=True))
    sources = Sources({"train": "", "heldout": ""}, asked, dict(zip(ids, drafts["_card"], strict=True)))
    verdicts, _ = give_verdicts(drafts, sources, recipe, Closed(recipe))
    for name, rows in verdicts.select(list(VERDICTS)).group_by("filter", maintain_order=True):
        reasons = rows.filter(~pl.col("kept"))["reason"].value_counts(sort=True)
        shown = ", ".join(f"{reason} {count}" for reason, count in reasons.iter_rows()) or "nothing"
        say(f"  {name[0]!s:14} saw {rows.height:8,}, dropped {shown}")
    return drafts.filter(pl.col("id").is_in(kept_ids(verdicts)))


def closest(drafts: pl.DataFrame) -> None:
    """The most alike pairs that bands for `FLOOR` find, 0 where no pair reaches it: answers, masked ones, questions."""
    answers = said_by(drafts, "assistant")
    texts = {"answers": answers, "masked answers": filters.slot_masked(answers), "questions": said_by(drafts, "user")}
    for name, column in texts.items():
        found = filters.near_duplicates(column, threshold=FLOOR)["jaccard"].max()
        say(f"  closest pair of {name}: Jaccard {found if isinstance(found, float) else 0.0:.2f}")


def families(drafts: pl.DataFrame) -> None:
    """Families of the assistant's last turn, of each facet and of all."""
    last = drafts["messages"].list.last().struct.field("content")
    told = pl.concat([drafts.select("facet"), filters.tic_families(last)], how="horizontal")
    say(f"{'families':26} {'':8} {'number':>7} {'even':>7}  largest")
    for facet in ["all", *sorted(told["facet"].unique())]:
        rows = told if facet == "all" else told.filter(pl.col("facet") == facet)
        for part in ("opening", "closing"):
            counts = rows[part].value_counts(sort=True)
            shares = counts["count"] / rows.height
            top = f"{shares[0]:5.1%} {counts[part][0]}"
            say(f"{facet:26} {part:8} {counts.height:7,} {1 / (shares * shares).sum():7.1f} {top}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
