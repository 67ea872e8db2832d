"""Selection of 10,000 from 100,000 rows (and of 20,000 from a million) beside random, top-quality and k-center greedy.

    python benchmarks/selection.py                    100,000 rows
    python benchmarks/selection.py --rows 1000000 --size 20000
    python benchmarks/selection.py --recall           how many true neighbours the inverted lists find

Synthetic rows: 200 clusters in 64 dimensions, skewed levels on six axes, lower quotas of 60 % of an even share.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from itertools import combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold import gen
from thousandfold.gen.content import unit_vectors
from thousandfold.gen.neighbours import nearest

LEVELS = (12, 8, 8, 5, 4, 10)
DIMENSIONS = 64
QUOTA_SHARE = 0.6
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
Ints = npt.NDArray[np.int64]
Result = TypeVar("Result")


def pool(rows: int, *, noise: float, seed: int = 0) -> pl.DataFrame:
    dice = np.random.default_rng(seed)
    centres = dice.normal(size=(200, DIMENSIONS)).astype(np.float32)
    vectors = centres[dice.integers(0, 200, rows)]
    vectors += dice.normal(size=vectors.shape).astype(np.float32) * noise
    columns = {f"axis{axis}": [f"l{code:02d}" for code in range(levels)] for axis, levels in enumerate(LEVELS)}
    coded = {}
    for name, levels in columns.items():
        share = 1 / np.arange(1, len(levels) + 1) ** 0.7  # skewed, as what teachers write
        codes = dice.choice(len(levels), rows, p=share / share.sum()).astype(np.uint32)
        coded[name] = pl.Series(name, np.array(levels)[codes])
    return pl.DataFrame({"quality": dice.beta(3, 1, rows).round(4), **coded, "embedding": vectors})


def quotas_of(size: int) -> dict[str, dict[str, int]]:
    return {
        f"axis{axis}": {f"l{code:02d}": int(QUOTA_SHARE * size / levels) for code in range(levels)}
        for axis, levels in enumerate(LEVELS)
    }


def k_center(vectors: npt.NDArray[np.int8], size: int) -> Ints:
    """Each row that is least like those before it (Gonzalez 1985); one pass over the rows for each."""
    real = vectors.astype(np.float32)
    chosen = np.zeros(size, np.int64)
    near = real @ real[0]
    for place in range(1, size):
        chosen[place] = np.argmin(near)
        near = np.maximum(near, real @ real[chosen[place]])
    return chosen


def told(name: str, frame: pl.DataFrame, rows: Ints, links: Ints, seconds: float, certificate: float | None) -> None:
    """One line: mean quality, share of rows with a chosen row among their neighbours, places missing, triples met."""
    chosen = frame[rows]
    inside = np.zeros(frame.height, np.bool_)
    inside[rows] = True
    missing = 0
    for axis, wanted in quotas_of(len(rows)).items():
        got = dict(chosen[axis].value_counts().iter_rows())
        missing += sum(max(0, n - got.get(level, 0)) for level, n in wanted.items())
    axes = list(quotas_of(1))
    met = sum(chosen.select(three).n_unique() for three in combinations(axes, 3))
    there = sum(frame.select(three).n_unique() for three in combinations(axes, 3))
    proven = f"{certificate:11.3f}" if certificate is not None else f"{'':11}"
    say(
        f"{name:22}{seconds:8.2f}{float(chosen['quality'].mean()):9.3f}"  # type: ignore[arg-type]
        f"{float(inside[links].any(axis=1).mean()):9.3f}{missing:9}{met / there:9.4f}{proven}"
    )


def timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    started, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - started, time.process_time() - cpu


def main() -> None:
    asked = _arguments()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    say(f"{asked.size:,} of {asked.rows:,} rows; {cores} cores, load {os.getloadavg()[0]:.1f} at the start")
    frame = pool(asked.rows, noise=asked.noise).with_row_index("row")
    if asked.recall:
        recall(unit_vectors(frame["embedding"]))
        return
    warm = pool(5_000, noise=asked.noise)
    gen.select(warm, size=500, quality="quality", embedding="embedding", quotas=quotas_of(500))
    before = peak_gb()
    picked, seconds, cpu = timed(
        lambda: gen.select(
            frame, size=asked.size, quality="quality", embedding="embedding", quotas=quotas_of(asked.size)
        )
    )
    say(f"select: {seconds:.2f} s, {cpu:.2f} s of processor time, peak {peak_gb():.2f} GB ({before:.2f} GB before)")
    vectors = unit_vectors(frame["embedding"])
    links = nearest(vectors, 24).rows.astype(np.int64)
    say(f"{'':22}{'seconds':>8}{'quality':>9}{'covered':>9}{'missing':>9}{'triples':>9}{'certificate':>11}")
    told("thousandfold", frame, picked.frame["row"].to_numpy().astype(np.int64), links, seconds, picked.certificate)
    dice = np.random.default_rng(1)
    told("random", frame, dice.permutation(asked.rows)[: asked.size], links, 0.0, None)
    best, took, _ = timed(lambda: np.argsort(-frame["quality"].to_numpy(), kind="stable")[: asked.size])
    told("top quality", frame, best, links, took, None)
    if asked.rows <= 100_000:
        far, took, _ = timed(lambda: k_center(vectors, asked.size))
        told("k-center greedy", frame, far, links, took, None)


def recall(vectors: npt.NDArray[np.int8]) -> None:
    """Of 1,000 rows: the share of their true 24 nearest that the lists find, and of the products' sum."""
    found, seconds, cpu = timed(lambda: nearest(vectors, 24, exact=False))
    rows = np.linspace(0, len(vectors) - 1, 1_000).astype(np.int64)
    products = vectors[rows].astype(np.float32) @ vectors.astype(np.float32).T
    true = np.argpartition(-products, 23, axis=1)[:, :24]
    shared = [len(set(one.tolist()) & set(other.tolist())) for one, other in zip(true, found.rows[rows], strict=True)]
    total = float(found.dots[rows].sum() / np.take_along_axis(products, true, axis=1).sum(dtype=np.float64))
    say(f"inverted lists: {seconds:.2f} s, {cpu:.2f} s of processor time")
    say(f"recall {np.mean(shared) / 24:.3f}, sum of products {total:.4f} of the exact one")


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 1e9


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--noise", type=float, default=0.5, help="spread within a cluster; 1.5 is hard for the lists")
    parser.add_argument("--recall", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
