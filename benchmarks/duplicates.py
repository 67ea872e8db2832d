"""Prints what near_duplicates costs beside datasketch and rensa on the same texts, and what it finds of brute force.

    python benchmarks/duplicates.py                    every part; a few minutes, most of them datasketch's
    python benchmarks/duplicates.py --only million     one of: peers, million, recall, start

Texts are sentences of real answers (alpaca_5000.json in the folder that THOUSANDFOLD_TEST_DATA names) put together
anew, or words drawn by Zipf's law where that file is missing; one text in ten is a copy with some words changed.
Every side is a process of its own, from a polars column of strings to the kept mask, and takes turns with the others;
memory is the whole process's peak. rensa and datasketch are measured where they are installed. Nothing is judged here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", ROOT.parent / "shared" / "data"))
PARTS = ("peers", "million", "recall", "start")
SIDES = ("thousandfold", "rensa", "datasketch")
NGRAM, THRESHOLD = 5, 0.7
WORD = re.compile(r"\w+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--texts", type=int, default=50_000, help="texts of `peers`")
    parser.add_argument("--million", type=int, default=1_000_000, help="texts of `million`")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        say(json.dumps(one_side(asked.side, *asked.size)))
        return
    say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {source_of_texts()}")
    for part in [asked.only] if asked.only else PARTS:
        {"peers": peers, "million": million, "recall": recall, "start": start}[part](asked)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def peers(asked: argparse.Namespace) -> None:
    sides = [side for side in SIDES if side == "thousandfold" or find_spec(side)]
    say(f"\n{asked.texts:,} texts of 1,600 characters, column to mask   seconds    CPU s   dropped      MB   x ours")
    seen: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(asked.runs):
        for side in sides:
            seen[side].append(measured(side, asked.texts, 1600))
    ours = statistics.median(run["seconds"] for run in seen["thousandfold"])
    for side in SIDES:
        if side not in seen:
            say(f"  {side:<38} not installed")
            continue
        row = {name: statistics.median(run[name] for run in seen[side]) for name in seen[side][0]}
        times = f"{row['seconds']:>9.2f} {row['cpu']:>8.2f}"
        say(f"  {side:<38}{times} {row['dropped']:>9,.0f} {row['mb']:>7.0f} {row['seconds'] / ours:>8.1f}")


def million(asked: argparse.Namespace) -> None:
    say("\ntexts of 900 characters                           seconds    CPU s   dropped      MB   µs a text")
    for count in (asked.texts, asked.million):
        runs = [measured("thousandfold", count, 900) for _ in range(asked.runs)]
        row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        times = f"{row['seconds']:>9.2f} {row['cpu']:>8.2f} {row['dropped']:>9,.0f} {row['mb']:>7.0f}"
        say(f"  {count:<38,}{times} {row['seconds'] / count * 1e6:>11.2f}")


def measured(side: str, count: int, length: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--size", str(count), str(length)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def one_side(side: str, count: int, length: int) -> dict[str, float]:
    """Runs in a process of its own: one side on one column, after a first call that loads or compiles."""
    import polars as pl

    parts = [pl.Series("text", list(part)) for part in batches(texts(count, length), 20_000)]
    column = pl.concat(parts, rechunk=True)
    del parts
    run = {"thousandfold": ours, "rensa": rensa, "datasketch": datasketch}[side]
    run(column.head(50))
    begun, cpu = time.perf_counter(), time.process_time()
    dropped = run(column)
    seconds, used = time.perf_counter() - begun, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"seconds": seconds, "cpu": used, "dropped": dropped, "mb": peak}


def ours(column: Any) -> int:
    from thousandfold import filters

    return int((~filters.near_duplicates(column, threshold=THRESHOLD, ngram=NGRAM)["kept"]).sum())


def shingles(text: str) -> list[str]:
    words = WORD.findall(text.lower())
    return [" ".join(words[start : start + NGRAM]) for start in range(max(1, len(words) - NGRAM + 1))]


def rensa(column: Any) -> int:
    from rensa import RMinHashDeduplicator

    deduplicator = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=128, use_lsh=True)
    kept = deduplicator.add_pairs((str(row), shingles(text)) for row, text in enumerate(column))
    return int(len(kept) - sum(kept))


def datasketch(column: Any) -> int:
    from datasketch import MinHash, MinHashLSH

    sketches = MinHash.bulk([[shingle.encode() for shingle in shingles(text)] for text in column], num_perm=128)
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    dropped = 0
    for row, sketch in enumerate(sketches):
        if lsh.query(sketch):
            dropped += 1
        else:
            lsh.insert(row, sketch)
    return dropped


def recall(_: argparse.Namespace) -> None:
    """Copies at graded Jaccard against every pair: which rows have a kept twin, and which of them were found."""
    import polars as pl

    from thousandfold import filters

    generator = random.Random(9)
    originals = list(itertools.islice((text for text in texts(10_000, 900) if len(text) > 600), 2000))
    rows = originals + [changed(text, generator.randint(0, 14), generator) for text in originals for _ in range(4)]
    sets = [set(shingles(text)) for text in rows]
    seen = filters.near_duplicates(pl.Series(rows), prefer=[float(-row) for row in range(len(rows))])
    kept = [row for row, stays in enumerate(seen["kept"]) if stays]
    where: dict[str, list[int]] = {}
    for row in kept:
        for shingle in sets[row]:
            where.setdefault(shingle, []).append(row)
    bands: dict[int, list[int]] = {}
    wrong = 0
    for row, (stays, twin) in enumerate(seen.select("kept", "twin").iter_rows()):
        others = {other for shingle in sets[row] for other in where.get(shingle, ()) if other < row}
        best = max((len(sets[row] & sets[other]) / len(sets[row] | sets[other]) for other in others), default=0.0)
        bands.setdefault(int(best * 20), []).append(not stays)
        if not stays:
            wrong += len(sets[row] & sets[twin]) / len(sets[row] | sets[twin]) < THRESHOLD
    say(f"\n{len(rows):,} texts, brute force over every kept row before each; wrongly dropped: {wrong}")
    say("  nearest kept row, Jaccard     rows   dropped    recall")
    for band in sorted(bands):
        share = f"{sum(bands[band]) / len(bands[band]):>9.4f}" if band >= 20 * THRESHOLD else "        -"
        say(f"  {band / 20:.2f} to {(band + 1) / 20:.2f} {len(bands[band]):>18,} {sum(bands[band]):>9,} {share}")


def start(asked: argparse.Namespace) -> None:
    line = "from thousandfold import filters; filters.near_duplicates(['a b c d e f', 'é', 'a b c d e f'])"
    say("\na fresh process                                    seconds")
    for name, code in (("import polars", "import polars"), ("a first call, kernels from the cache", line)):
        seconds = []
        for _ in range(asked.runs + 1):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            seconds.append(time.perf_counter() - begun)
        say(f"  {name:<45} {statistics.median(seconds[1:]):>9.2f}")


def source_of_texts() -> str:
    return "sentences of real answers" if (DATA / "alpaca_5000.json").is_file() else "words drawn by Zipf's law"


def sentences() -> list[str]:
    path = DATA / "alpaca_5000.json"
    if path.is_file():
        answers = (row["output"] for row in json.loads(path.read_text(encoding="utf-8")))
        return [line for answer in answers for line in re.split(r"(?<=[.!?])\s+", answer) if len(line) > 20]
    generator = random.Random(2)
    weights = [1 / (rank + 1) for rank in range(20_000)]
    drawn = iter(generator.choices(range(20_000), weights, k=1_000_000))
    return [" ".join(f"word{number}" for number in itertools.islice(drawn, 14)) + "." for _ in range(70_000)]


def texts(count: int, length: int) -> Iterator[str]:
    """`count` texts of about `length` characters; one in ten is an earlier one with up to 40 words changed."""
    generator, pool = random.Random(1), sentences()
    recent: list[str] = []
    for _ in range(count):
        if recent and generator.random() < 0.1:
            yield changed(generator.choice(recent), generator.randint(0, 40), generator)
            continue
        parts: list[str] = []
        size = 0
        while size < length:
            parts.append(pool[int(generator.random() * len(pool))])
            size += len(parts[-1]) + 1
        recent.append(" ".join(parts)[:length])
        recent = recent[-1000:]
        yield recent[-1]


def changed(text: str, words: int, generator: random.Random) -> str:
    own = text.split()
    for place in generator.sample(range(len(own)), min(words, len(own))):
        own[place] = f"new{generator.randrange(10**6)}"
    return " ".join(own)


def batches(items: Iterator[str], size: int) -> Iterator[list[str]]:
    while batch := list(itertools.islice(items, size)):
        yield batch


if __name__ == "__main__":
    main()
