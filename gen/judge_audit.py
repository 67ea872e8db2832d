"""shipped selection → fresh labels → how many of its texts are good, at least: a statement about one release.

The texts are drawn from what is shipped, after the sampler, so the bound needs nothing of judge or calibration: it is
about these very texts. What it holds for is fixed beforehand, and cannot be changed once a label is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from .audit_book import AuditBook, AuditPlan
from .audit_result import CONFIDENCE, Audit, audit_in, levels_in
from .errors import RecipeError
from .guarantees import check_share, corpus_rate
from .label_desk import name_of
from .label_evidence import GOOD_FROM, check_good_from
from .output import Output, disk_trouble, sync
from .release import read_manifest, read_table

SIZE = 150
"""Labels of an audit whose size nobody gave: with a true share of .95 the median bound is .91 to .92."""
MOST_EARLY = 1_000
"""Texts drawn for an audit that may stop early: with so many a share of .95 has a bound above .93."""
TARGET = 0.9


def audit(
    out: str | Path,
    *,
    size: int | None = None,
    stop_early: bool = False,
    target: float | None = None,
    good_from: float | None = None,
    who: str | Iterable[str] = (),
) -> Audit:
    """Plans the audit of the latest release in `out`, or says where it stands, and writes `audits/<release>.json`.

    Of the shipped exemplars `size` are drawn (default 150, or all), by a hash of the release's content and their ids:
    nobody can draw until the draw is to their liking. Each is labelled anew (`thousandfold label OUT --audit`), also
    where calibration has a label for it. A plan of fixed size has a bound once all its texts are labelled
    (Clopper-Pearson, one-sided 95 %), and none before; what is said or taken back after that does not count. With
    `stop_early` there is one after each label (betting), over the beginning of the draw that is labelled without a
    gap. Both are drawn without replacement, for which they err on the safe side.

    Several people: with `who` each of these must label each text, and it is good where the mean of their levels is at
    least `good_from` (default 3); without `who` the first label of each text counts, whoever gave it.

    A plan can be replaced until its first label is there. Raises OutputError where there is no release, RecipeError for
    terms that cannot be, or that differ from those under which labels were given.
    """
    output = Output.existing(out)
    release = output.newest(why="an audit is about the texts that a release ships")
    shipped = _shipped(release)
    asked = _terms(size, stop_early, target, good_from, who, shipped.height)
    with AuditBook(output.ledger_path, release.name) as book:
        plan = _planned(book, release, shipped, asked)
        found = audit_in(book, plan)
    found = _with_rate(found, book.path, shipped)
    if found.found.bound is not None:
        _publish(output, found)
    return found


def _shipped(release: Path) -> pl.DataFrame:
    """`id, facet, score` of the selected exemplars."""
    chosen = read_table(release, "selection").filter("selected").select("id")
    judged = read_table(release, "judgements").select("id", "facet", "score")
    return chosen.join(judged, on="id", how="left", maintain_order="left").sort("id")


def _terms(
    size: int | None,
    stop_early: bool,
    target: float | None,
    good_from: float | None,
    who: str | Iterable[str],
    shipped: int,
) -> dict[str, Any]:
    """What the caller asks for, checked; only that which they gave."""
    asked: dict[str, Any] = {}
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= shipped:
            raise RecipeError(
                what=f"size is {size!r}",
                why=f"so many texts are drawn from the {shipped} that the release ships",
                do=f"give a number from 1 to {shipped}",
            )
        asked["size"] = size
    if size is not None or stop_early:
        asked["rule"] = "stop_early" if stop_early else "fixed"
    if target is not None:
        check_share("target", target)
        asked["target"] = float(target)
    if good_from is not None:
        check_good_from(good_from)
        asked["good_from"] = float(good_from)
    names = tuple(dict.fromkeys(name_of(name) for name in ([who] if isinstance(who, str) else who)))
    return asked | ({"who": names} if names else {})


def _planned(book: AuditBook, release: Path, shipped: pl.DataFrame, asked: Mapping[str, Any]) -> AuditPlan:
    standing = book.plan()
    if standing is not None and all(getattr(standing, name) == value for name, value in asked.items()):
        return standing
    default = standing or AuditPlan(
        release=release.name,
        content_sha256=read_manifest(release)["content_sha256"],
        rule="fixed",
        size=0,
        shipped=shipped.height,
        target=TARGET,
        good_from=GOOD_FROM,
        who=(),
    )
    wanted = replace(default, **asked)
    if "size" not in asked and (standing is None or wanted.rule != standing.rule):
        usual = MOST_EARLY if wanted.rule == "stop_early" else SIZE
        wanted = replace(wanted, size=min(usual, shipped.height))
    book.fix(wanted, _draw(shipped, wanted))
    made = book.plan()
    assert made is not None  # what `fix` wrote
    return made


def _draw(shipped: pl.DataFrame, plan: AuditPlan) -> list[tuple[str, str]]:
    def chance(draft_id: str) -> str:
        return sha256(f"audit\0{plan.content_sha256}\0{draft_id}".encode()).hexdigest()

    texts = sorted(shipped.select("id", "facet").iter_rows(), key=lambda text: chance(text[0]))
    return [(draft_id, facet) for draft_id, facet in texts[: plan.size]]


def _with_rate(found: Audit, ledger: Path, shipped: pl.DataFrame) -> Audit:
    """With the share of good texts among all shipped, where it may be said."""
    if found.found.bound is None or found.plan.rule != "fixed":
        why = "a rate with an interval wants a size fixed beforehand" if found.plan.rule != "fixed" else "not complete"
        return replace(found, no_rate=why)
    with AuditBook(ledger, found.release, read_only=True) as book:
        levels = levels_in(book, found.plan)
    scored = shipped.drop_nulls("score")
    sample = scored.filter(pl.col("id").is_in(list(levels)))
    if sample.height < len(levels):
        return replace(found, no_rate="not all of the labelled texts have a score")
    good = [levels[draft_id] >= found.plan.good_from for draft_id in sample["id"]]
    rest = scored.filter(~pl.col("id").is_in(list(levels)))["score"].to_numpy()
    try:
        rate = corpus_rate(sample["score"].to_numpy(), good, rest, confidence=CONFIDENCE)
    except RecipeError as error:
        return replace(found, no_rate=f"{error.what}: too few of a kind for an interval")
    return replace(found, rate=(rate.estimate, rate.low, rate.high))


def _publish(output: Output, found: Audit) -> None:
    """Writes `audits/<release>.json`, whole or not at all."""
    folder = output.path / "audits"
    path = folder / f"{found.release}.json"
    temporary = folder / f".{found.release}.tmp"
    data = json.dumps(found.as_dict(), indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(exist_ok=True)
        temporary.write_text(data, encoding="utf-8")
        sync(temporary)
        temporary.replace(path)
        sync(folder)
    except OSError as error:
        raise disk_trouble(path, error) from error
