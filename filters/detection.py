"""planted flaws + verdicts → what was caught: recall, precision and false alarms of each kind, with intervals.

Somebody planted flaws in known rows, and the filters gave their verdicts without knowing which. Counted is so
that a filter that is off or broken shows, even where another drops the same rows:

- **caught**: dropped for one of the reasons that are meant for its kind. Of two that are alike it is enough if one
  goes: a copy counts as caught also where its `original` was dropped for such a reason, with the copy as its twin.
- **missed**: planted and not caught. Of these, `dropped_otherwise` were dropped for a reason that is not meant for
  their kind: they harm nobody, but it was luck.
- **false alarm** of a kind: a clean row (one that nobody planted) dropped for one of its reasons. An original that
  went instead of its copy is none. A reason that serves several kinds counts for each of them.

recall = caught / planted; precision = caught / (caught + false alarms). Precision depends on how many clean rows
stand beside how many planted ones; the false alarm rate of `false_alarms` does not. Intervals are Wilson's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import polars as pl

from .statistics import wilson
from .verdict import VERDICT, FilterError

CAUGHT_AS = pl.List(pl.Struct({"filter": pl.String, "reason": pl.String, "rows": pl.UInt32}))

KINDS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,
    "planted": pl.UInt32,
    "caught": pl.UInt32,
    "missed": pl.UInt32,
    "dropped_otherwise": pl.UInt32,  # of the missed
    "false_alarms": pl.UInt32,
    "recall": pl.Float64,  # null where none was planted
    "recall_low": pl.Float64,
    "recall_high": pl.Float64,
    "precision": pl.Float64,  # null where nothing was dropped for the kind's reasons
    "precision_low": pl.Float64,
    "precision_high": pl.Float64,
    "caught_as": CAUGHT_AS,  # most rows first
}

MISSES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,
    "id": pl.String,
    "dropped_as": pl.String,  # null where it was kept
}

ALARMS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "filter": pl.String,
    "reason": pl.String,
    "measured": pl.Float64,
    "limit": pl.Float64,
    "twin": pl.String,
}

FALSE_ALARMS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "reason": pl.String,  # null in the first row, which counts rows dropped for any reason
    "clean": pl.UInt32,
    "dropped": pl.UInt32,
    "share": pl.Float64,  # null where there was no clean row
    "low": pl.Float64,
    "high": pl.Float64,
}


class Detection(NamedTuple):
    """What the filters made of planted flaws."""

    kinds: pl.DataFrame  # KINDS: one row per kind of `caught_by`, in its order
    misses: pl.DataFrame  # MISSES: one row per planted row that was not caught, in the order planted
    false_alarms: pl.DataFrame  # FALSE_ALARMS: any reason first, then each, most rows first
    alarms: pl.DataFrame  # ALARMS: the verdicts that these counts are of, in the order of `verdicts`


class _Drop(NamedTuple):
    filter: str
    reason: str
    measured: float | None
    limit: float | None
    twin: str | None


def detection(
    planted: pl.DataFrame,
    verdicts: pl.DataFrame,
    caught_by: Mapping[str, Collection[str]],
    *,
    confidence: float = 0.95,
) -> Detection:
    """Compares what was planted with what was dropped.

    `planted` has `id` and `kind`, and may have `original`: the id of the row that this one copies, or null.
    `verdicts` (schema `VERDICT`) speak of planted and clean rows alike, one row for each filter that saw a row.
    `caught_by` maps each kind to the reasons that are meant for it.

    Raises FilterError where a column is missing, an id is planted twice or has no verdict, or a kind is not in
    `caught_by`.
    """
    _check(planted, verdicts, caught_by)
    drops = _drops(verdicts)
    ids = dict.fromkeys(verdicts["id"])
    originals = planted["original"] if "original" in planted.columns else [None] * planted.height
    rows = list(zip(planted["id"], planted["kind"], originals, strict=True))
    caught: dict[str, _Drop] = {}
    for row_id, kind, original in rows:
        drop = _meant(drops.get(row_id, ()), caught_by[kind]) or _meant(
            (drop for drop in drops.get(original, ()) if drop.twin == row_id), caught_by[kind]
        )
        if drop is not None:
            caught[row_id] = drop
    alarms = _alarms(drops, {row_id: original for row_id, _, original in rows})
    reasons_of = {row_id: {drop.reason for drop in found} for row_id, found in alarms.items()}
    clean = len(ids) - planted.height
    return Detection(
        _table(
            (_kind(kind, reasons, rows, caught, drops, reasons_of, confidence) for kind, reasons in caught_by.items()),
            KINDS,
        ),
        _table(
            (
                {"kind": kind, "id": row_id, "dropped_as": drops[row_id][0].reason if row_id in drops else None}
                for row_id, kind, _ in rows
                if row_id not in caught
            ),
            MISSES,
        ),
        _table(_false_alarms(reasons_of, clean, confidence), FALSE_ALARMS),
        _table(({"id": row_id, **drop._asdict()} for row_id, found in alarms.items() for drop in found), ALARMS),
    )


def _drops(verdicts: pl.DataFrame) -> dict[str, list[_Drop]]:
    dropped = verdicts.filter(~pl.col("kept"))
    found: dict[str, list[_Drop]] = {}
    for row_id, *drop in dropped.select(list(ALARMS)).iter_rows():
        found.setdefault(row_id, []).append(_Drop(*drop))
    return found


def _meant(drops: Any, reasons: Collection[str]) -> _Drop | None:
    return next((drop for drop in drops if drop.reason in reasons), None)


def _alarms(drops: Mapping[str, list[_Drop]], planted: Mapping[str, str | None]) -> dict[str, list[_Drop]]:
    """clean row → what it was dropped for, without what went instead of its copy."""
    alarms: dict[str, list[_Drop]] = {}
    for row_id, found in drops.items():
        if row_id in planted:
            continue
        own = [drop for drop in found if drop.twin is None or planted.get(drop.twin) != row_id]
        if own:
            alarms[row_id] = own
    return alarms


def _kind(
    kind: str,
    reasons: Collection[str],
    rows: list[tuple[str, str, str | None]],
    caught: Mapping[str, _Drop],
    drops: Mapping[str, list[_Drop]],
    alarms: Mapping[str, set[str]],
    confidence: float,
) -> dict[str, Any]:
    own = [row_id for row_id, planted_kind, _ in rows if planted_kind == kind]
    hits = [caught[row_id] for row_id in own if row_id in caught]
    otherwise = sum(row_id in drops for row_id in own if row_id not in caught)
    false = sum(not found.isdisjoint(reasons) for found in alarms.values())
    by = Counter((drop.filter, drop.reason) for drop in hits)
    return {
        "kind": kind,
        "planted": len(own),
        "caught": len(hits),
        "missed": len(own) - len(hits),
        "dropped_otherwise": otherwise,
        "false_alarms": false,
        **_share("recall", len(hits), len(own), confidence),
        **_share("precision", len(hits), len(hits) + false, confidence),
        "caught_as": [
            {"filter": name, "reason": reason, "rows": count}
            for (name, reason), count in sorted(by.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def _share(name: str, hits: int, trials: int, confidence: float) -> dict[str, float | None]:
    if not trials:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = wilson(hits, trials, confidence=confidence)
    return {name: hits / trials, f"{name}_low": low, f"{name}_high": high}


def _false_alarms(alarms: Mapping[str, set[str]], clean: int, confidence: float) -> list[dict[str, Any]]:
    counts = Counter(reason for reasons in alarms.values() for reason in reasons)
    by_reason: list[tuple[str | None, int]] = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = []
    for reason, dropped in [(None, len(alarms)), *by_reason]:
        share = _share("share", dropped, clean, confidence)
        ends = {"low": share["share_low"], "high": share["share_high"]}
        rows.append({"reason": reason, "clean": clean, "dropped": dropped, "share": share["share"], **ends})
    return rows


def _table(rows: Any, schema: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(schema), orient="row")


def _check(planted: pl.DataFrame, verdicts: pl.DataFrame, caught_by: Mapping[str, Collection[str]]) -> None:
    for name, frame, columns in (("planted", planted, ("id", "kind")), ("verdicts", verdicts, tuple(VERDICT))):
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise FilterError(
                what=f"{name} has no column {missing[0]!r}; it has {', '.join(frame.columns) or 'none'}",
                why="what was planted is compared with what was dropped, row by row",
                do=f"give a frame with the columns {', '.join(columns)}",
            )
    unknown = [kind for kind in planted["kind"].unique(maintain_order=True) if kind not in caught_by]
    if unknown:
        raise FilterError(
            what=f"planted holds the kind {unknown[0]!r}, which caught_by does not",
            why="without the reasons meant for it a drop is neither caught nor missed",
            do=f"add {unknown[0]!r} to caught_by, with no reason where no filter is meant to see it",
        )
    twice = planted.filter(pl.col("id").is_duplicated())["id"]
    if len(twice):
        raise FilterError(
            what=f"planted names {twice[0]!r} more than once",
            why="a row has one flaw, or it could not be said which was seen",
            do="give one row for each planted text",
        )
    unseen = planted.filter(~pl.col("id").is_in(verdicts["id"].implode()))["id"]
    if len(unseen):
        raise FilterError(
            what=f"planted names {unseen[0]!r}, of which no verdict speaks",
            why="a row that no filter saw would count as missed",
            do="give the verdicts of all rows, those that were kept too",
        )
