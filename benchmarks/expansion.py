"""Prints the diversity that each switch of [expansion] buys per 1,000 tokens, at several levels of mode collapse.

    python benchmarks/expansion.py                           150 contexts of the respect recipe
    python benchmarks/expansion.py --contexts 400 --collapse 0,0.9

The teacher is rehearsal with its dial `collapse`. That models a teacher: the shares at which it heeds a prompt are set
in `gen/teachers/rehearsal/collapse.py`, so the figures prove that the switches work, and say nothing of a real model.
Measured are the assistant's last turns of all drafts that can be read, and the situations apart; tokens are those of
the ledger, prompts included.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thousandfold.gen.breadth import diversity
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.models import models_of
from thousandfold.gen.pipeline import first_drafts
from thousandfold.gen.recipe import load

RECIPE = Path(__file__).parent.parent / "examples" / "respect"
SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "base": {},
    "verbalised": {"verbalised": True},
    "prose": {"prose": True},
    "rotation": {"rotation": True},
    "shots = 2": {"shots": 2},
    "revise": {"revise": True},
    "turns 2 = 0.5": {"turns": {"2": 0.5}},
}
MEASURES = ("vendi", "openings", "distinct_2", "ideas")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, default=150)
    parser.add_argument("--collapse", default="0,0.5,0.9", help="levels of the dial, with commas between")
    asked = parser.parse_args()
    every = {name: value for switches in SWITCHES.values() for name, value in switches.items()}
    for collapse in map(float, asked.collapse.split(",")):
        head = f"collapse {collapse:g}, {asked.contexts} contexts"
        say(f"\n{head:30} {'vendi':>7} {'openings':>8} {'distinct-2':>10} {'ideas':>7} | {'situations':>11} | k tokens"
            " | vendi, openings, ideas per 1,000 tokens")  # fmt: skip
        for name, switches in {**SWITCHES, "all": every}.items():
            say(line(name, measured(asked.contexts, collapse, switches)))


def measured(contexts: int, collapse: float, switches: Mapping[str, Any]) -> dict[str, float]:
    """Measures of the drafts of so many contexts, `situations` (Vendi of those) and `tokens`."""
    teacher = f"rehearsal:near_copy=0&cut_off=0&hollow=0&collapse={collapse}"
    settings = {f"expansion.{name}": value for name, value in switches.items()}
    recipe = load(RECIPE, settings | {"teacher.model": teacher, "judge.model": "none"})
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        state = asyncio.run(first_drafts(recipe, ledger, models_of(recipe, None, None), contexts))
        spent = ledger.spent()
    drafts = state.drafts.filter(pl.col("problem").is_null())
    texts = drafts.select(text=pl.col("messages").list.last().struct.field("content"))
    found = diversity(texts, text="text", sizes=[texts.height]).row(0, named=True)
    told = diversity(drafts.select(text="scenario"), text="text", sizes=[drafts.height])
    return {
        **{name: float(found[name]) for name in MEASURES},
        "situations": float(told["vendi"][0]),
        "tokens": float(spent.prompt_tokens + spent.completion_tokens),
    }


def line(name: str, found: Mapping[str, float]) -> str:
    thousands = found["tokens"] / 1000
    per = " ".join(f"{found[measure] / thousands:7.3f}" for measure in ("vendi", "openings", "ideas"))
    return (
        f"  {name:28} {found['vendi']:7.1f} {found['openings']:8.1f} {found['distinct_2']:10.3f}"
        f" {found['ideas']:7.0f} |"
        f" {found['situations']:11.1f} | {thousands:8.0f} | {per}"
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
