"""Prints whether what is promised of accepted texts holds, in simulations with a known truth; and what a million cost.

    python benchmarks/guarantees.py [--runs 2000]

A simulated judge's scores of good and of bad texts are normal with one spread, so far apart that its AUC is as printed.
Each run draws labels and texts anew. Columns:

    expected bad   share of bad texts among those that conformal selection accepted, mean; to be .10 at most
    ships          share of all texts that it accepted
    rule misses    runs in which the high-probability rule's accepted texts were less good than .90; to be .10 at most
    ships          share of all texts that the rule accepted
    bound wrong    runs in which the exact bound of 150 fresh labels of the accepted lies above the truth; at most .05
    betting        the same of the betting bound, looked at after each of them
    covers         runs in which the PPI++ interval of the share of good texts holds the truth; .95 or so
    ECE            mean distance of calibrated probability and truth, over twentieths of the texts, from 500 labels
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy import stats

from thousandfold import gen

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BASES, AUCS = (0.5, 0.7, 0.9), (0.75, 0.85, 0.95)
LABELS, MORE_LABELS, TEXTS, AUDIT = 200, 500, 2_000, 150
NAMES = ("expected bad", "ships", "rule misses", "ships", "bound wrong", "betting", "covers", "ECE")


def draw(dice: np.random.Generator, count: int, base: float, auc: float) -> tuple[Floats, Bools]:
    good = dice.random(count) < base
    return dice.normal(size=count) + apart(auc) * good, good


def apart(auc: float) -> float:
    return NormalDist().inv_cdf(auc) * 2**0.5


def one_run(dice: np.random.Generator, base: float, auc: float) -> list[float]:
    """What the columns say of one run; NaN where nothing was accepted and so nothing can be audited."""
    labelled, good = draw(dice, LABELS, base, auc)
    scores, truth = draw(dice, TEXTS, base, auc)
    accepted = gen.conformal_selection(scores, labelled=labelled, good=good, alpha=0.1)
    more, more_good = draw(dice, MORE_LABELS, base, auc)
    rule = gen.high_probability_selection(scores, labelled=more, good=more_good, target=0.9, delta=0.1)
    row = [float((~truth[accepted.kept]).mean()) if accepted.kept.any() else 0.0, accepted.share]
    row += [float(rule.kept.any() and truth[rule.kept].mean() < 0.9), rule.share]
    row += audit(dice, truth[accepted.kept])
    rate = gen.corpus_rate(labelled, good, scores)
    return [*row, float(rate.low <= base <= rate.high), ece(more, more_good, base, auc)]


def audit(dice: np.random.Generator, accepted: Bools) -> list[float]:
    if not len(accepted):
        return [float("nan")] * 2
    drawn = dice.choice(accepted, AUDIT)  # with replacement: the bounds are exact for it
    share = float(accepted.mean())
    exact = gen.exact_bound(int(drawn.sum()), AUDIT)
    return [float(exact > share), float((gen.betting_bound(drawn) > share).any())]


def ece(labelled: Floats, good: Bools, base: float, auc: float) -> float:
    """Over the population itself, by its own distribution."""
    curve = gen.calibrate(labelled, good).curve
    at = np.linspace(-4, 4 + apart(auc), 2_001)
    yes, no = base * stats.norm.pdf(at - apart(auc)), (1 - base) * stats.norm.pdf(at)
    weight = np.cumsum(yes + no) / (yes + no).sum()
    cells = np.minimum((weight * 20).astype(np.int64), 19)
    gaps = (curve(at) * (yes + no) - yes) / (yes + no).sum()
    return float(np.abs(np.bincount(cells, gaps, 20)).sum())


def million() -> None:
    dice = np.random.default_rng(0)
    scores, _ = draw(dice, 1_000_000, 0.7, 0.85)
    labelled, good = draw(dice, MORE_LABELS, 0.7, 0.85)
    gen.calibrate(labelled, good)  # scipy is loaded once
    start, used = time.perf_counter(), time.process_time()
    gen.calibrate(labelled, good).curve(scores)
    accepted = gen.conformal_selection(scores, labelled=labelled, good=good, alpha=0.05)
    seconds, work = time.perf_counter() - start, time.process_time() - used
    say(f"1,000,000 scores calibrated and accepted ({accepted.share:.0%}): {seconds:.2f} s, {work:.2f} s of processor")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether the promises hold, in simulations with a known truth.")
    parser.add_argument("--runs", type=int, default=2_000)
    runs = parser.parse_args().runs
    million()
    say(
        f"\n{runs} runs each; {LABELS} labels ({MORE_LABELS} for the rule and for ECE), {TEXTS} texts, {AUDIT} to audit"
    )
    say("base  AUC " + "".join(f"{name:>13}" for name in NAMES))
    for base in BASES:
        for auc in AUCS:
            dice = np.random.default_rng([int(base * 100), int(auc * 100)])
            means = np.nanmean([one_run(dice, base, auc) for _ in range(runs)], axis=0)
            say(f"{base:4.2f} {auc:4.2f} " + "".join(f"{value:13.3f}" for value in means))


if __name__ == "__main__":
    main()
