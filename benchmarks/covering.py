"""Prints what a covering plan is and costs on this machine: rows, bound, seconds, prefixes, uniform draws beside.

    python benchmarks/covering.py             medians of 5 runs
    python benchmarks/covering.py --runs 11

Kernels are warm: a plan of two rows is made first, and how long that took is printed apart. Nothing is judged here and
no test reads it: on a busy machine seconds say little.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import polars as pl

from thousandfold import gen
from thousandfold.gen.covering import coverage, uniform_coverage
from thousandfold.gen.recipe import load

EXAMPLE = Path(__file__).parent.parent / "examples" / "respect"
Axes = Mapping[str, Sequence[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of which the median is printed")
    runs = parser.parse_args().runs
    say(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, medians of {runs}")
    _, first = timed({"a": ["0", "1"], "b": ["0"]}, runs=1, strength=2)
    say(f"the first plan of this process, numba and machine code loaded (or compiled, if never before): {first:.2f} s")
    recipe = load(EXAMPLE)
    raw, seen = recipe.levels, recipe.train_levels
    say(f"\nthe raw axes of examples/respect: {' x '.join(str(len(levels)) for levels in raw.values())}")
    for strength in (2, 3):
        described(raw, strength, (), runs)
    say(f"what training may see of them, {len(recipe.never)} combinations forbidden or withheld")
    forbid = [rule for rule in recipe.never if all(level in seen[axis] for axis, level in rule.items())]
    for strength in (2, 3):
        described(seen, strength, forbid, runs)
    prefixes(raw)
    for size in (1_000, 10_000, 100_000):
        plan, seconds = timed(raw, runs=runs, size=size)
        say(f"size {size:>7,}: {seconds:6.2f} s, {size / seconds:>9,.0f} rows/s; {furthest(plan, raw)}")


def described(axes: Axes, strength: int, forbid: Sequence[Mapping[str, str]], runs: int) -> None:
    plan, seconds = timed(axes, runs=runs, strength=strength, forbid=forbid)
    found = coverage(plan, axes, strength=strength, forbid=forbid)
    pairs = coverage(plan, axes, strength=2, forbid=forbid)
    uniform = uniform_coverage(axes, plan.height, strength=strength, forbid=forbid)
    say(
        f"strength {strength}: {plan.height:5,} rows meet all {found.possible:6,}, at least {found.bound:3,} needed; "
        f"every pair by row {pairs.met_by}; as many uniform draws meet {uniform:.1%}; {seconds:.2f} s"
    )


def prefixes(axes: Axes) -> None:
    plan = gen.covering_plan(axes, strength=3)
    say("\nrows       pairs  triples   uniform draws: pairs  triples")
    for rows in (10, 30, 60, 120, 250, 500, 750, plan.height):
        ours = [coverage(plan[:rows], axes, strength=t).share for t in (2, 3)]
        drawn = [uniform_coverage(axes, rows, strength=t) for t in (2, 3)]
        say(f"{rows:4}     {ours[0]:7.1%}  {ours[1]:7.1%}                  {drawn[0]:7.1%}  {drawn[1]:7.1%}")
    say("")


def furthest(plan: pl.DataFrame, axes: Axes) -> str:
    """How far the count of a level, a pair and a triple is from its share of the rows at most."""
    words = []
    for t, name in ((1, "level"), (2, "pair"), (3, "triple")):
        most = 0.0
        for chosen in combinations(axes, t):
            counts = plan.group_by(chosen).len()["len"]
            cells = 1
            for axis in chosen:
                cells *= len(axes[axis])
            share = plan.height / cells
            least = 0 if len(counts) < cells else int(str(counts.min() or 0))
            most = max(most, int(str(counts.max() or 0)) - share, share - least)
        words.append(f"{name} {most:.1f}")
    return f"rows from its share at most: {', '.join(words)}"


def timed(
    axes: Axes,
    *,
    runs: int,
    strength: int = 3,
    size: int | None = None,
    forbid: Sequence[Mapping[str, str]] = (),
) -> tuple[pl.DataFrame, float]:
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        plan = gen.covering_plan(axes, strength=strength, size=size, forbid=forbid)
        taken.append(time.perf_counter() - started)
    return plan, statistics.median(taken)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
