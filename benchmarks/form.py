"""Prints how fast the form filter is on drafts of about 1,600 characters, and what it drops of a file of answers.

    python benchmarks/form.py                                    speed, beside a floor
    python benchmarks/form.py --rates ../shared/data/alpaca_5000.json      rows dropped, by reason

The floor is what cannot be done without: the lengths, and one search through the same column.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from thousandfold import filters

CHARACTERS = 1600


def conversations(answers: list[str]) -> pl.DataFrame:
    turns = [[{"role": "user", "content": "What now?"}, {"role": "assistant", "content": answer}] for answer in answers]
    return pl.DataFrame({"id": [str(number) for number in range(len(answers))], "messages": turns})


def invented(count: int) -> list[str]:
    """Paragraphs of sentences of words that are as unequal in frequency as words are."""
    drawn = random.Random(1)
    words = [f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in ("n", "r", "st", "l", "nd")]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    texts = []
    for _ in range(count):
        text = ""
        while len(text) < CHARACTERS:
            text += " ".join(drawn.choices(words, weights, k=drawn.randint(8, 22))).capitalize()
            text += ".\n\n" if drawn.random() < 0.2 else ". "
        texts.append(text.strip())
    return texts


def speed(count: int, runs: int) -> None:
    frame = conversations(invented(count))
    texts = frame["messages"].list.last().struct.field("content")
    floor = _seconds(lambda: (texts.str.len_bytes(), texts.str.contains(r"\[[A-Z]{3,}\]")), runs)
    form = _seconds(lambda: filters.form(frame, because=None, finish_reason=None, language="en"), runs)
    say(f"{count} drafts of {CHARACTERS} characters, medians of {runs} runs")
    say(f"  form   {count / form:10,.0f} drafts/s {form / floor:8.1f} x the floor")
    say(f"  floor  {count / floor:10,.0f} drafts/s")


def rates(path: Path) -> None:
    rows = json.loads(path.read_text(encoding="utf-8"))
    verdicts = filters.form(
        conversations([row["output"] for row in rows]), because=None, finish_reason=None, language="en"
    )
    say(f"{path.name}: {verdicts.height} rows")
    for reason, dropped in verdicts["reason"].drop_nulls().value_counts(sort=True).iter_rows():
        say(f"  {reason:20} {dropped:6} {dropped / verdicts.height:8.2%}")


def _seconds(work: Callable[[], object], runs: int) -> float:
    work()  # compiles, and fills caches
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the form filter is, and what it drops.")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rates", type=Path, metavar="FILE", help="a JSON list of records with `output`")
    asked = parser.parse_args()
    if asked.rates:
        rates(asked.rates)
    else:
        speed(asked.count, asked.runs)


if __name__ == "__main__":
    main()
