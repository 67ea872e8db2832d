"""Prints what `filters.tics` costs on this machine, and the largest families of a corpus of real answers.

    python benchmarks/tics.py [--texts 100000] [--reference]

Texts of 1,600 characters are put together from the answers in `alpaca_5000.json` (THOUSANDFOLD_TEST_DATA, default
`../shared/data` beside the checkout). Seconds are of one run; on a busy machine they say little.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import time
from pathlib import Path

import polars as pl

from thousandfold import filters

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", ROOT.parent / "shared" / "data")) / "alpaca_5000.json"
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--texts", type=int, default=100_000)
    asked.add_argument("--reference", action="store_true", help="compare with as many other texts")
    given = asked.parse_args()
    if not DATA.is_file():
        sys.exit(f"{DATA} is no file; the benchmark needs real answers: set THOUSANDFOLD_TEST_DATA to their folder")
    answers = [row["output"] for row in json.loads(DATA.read_text(encoding="utf-8")) if row["output"]]
    families = filters.tics(answers).summary.filter(pl.col("measure").str.contains("opening|closing"))
    for row in families.iter_rows(named=True):
        say(f"{len(answers)} answers: {row['measure']} {row['value']:.4g} {row['of'] or ''}")
    draw = random.Random(1)
    texts = made(answers, given.texts, draw)
    reference = made(answers, given.texts, draw) if given.reference else None
    before = peak_gb()
    start = time.perf_counter()
    found = filters.tics(texts, reference=reference)
    seconds = time.perf_counter() - start
    megabytes = int(texts.str.len_bytes().sum()) / 1e6
    beside = f" beside {given.texts} others" if given.reference else ""
    say(f"{given.texts} texts of {megabytes:,.0f} MB{beside}: {seconds:.1f} s, {found.table.height} lines")
    say(f"peak memory {peak_gb():.2f} GB ({before:.2f} GB before)")


def made(answers: list[str], count: int, draw: random.Random) -> pl.Series:
    return pl.Series([" ".join(draw.choices(answers, k=8))[:1600] for _ in range(count)], dtype=pl.String)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 1e9


if __name__ == "__main__":
    main()
