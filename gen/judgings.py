"""texts → levels: what a panel makes of every text of a check, by the words of a run and by others. Row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from .asking import Asker
from .judge_texts import Texts
from .judgements import Panel, judge_drafts
from .recipe import Recipe
from .tables import MESSAGES
from .variations import Messages

Floats = npt.NDArray[np.float64]

REWORDED, DOWNWARDS = "reworded", "levels from 4 to 0"
NO_EVIDENCE = 5.0  # a level that no text reaches: spans are not asked for


@dataclass
class Scores:
    """Levels 0 to 4, NaN where the judge gave none.

    by_kind   facet -> kind -> (contexts,), NaN also where a context has no such text; `answered` says which of both
    controls  facet -> (texts,)
    labelled  id of a labelled text -> level
    """

    by_kind: dict[str, dict[str, Floats]] = field(default_factory=dict)
    controls: dict[str, Floats] = field(default_factory=dict)
    labelled: dict[str, float] = field(default_factory=dict)


async def score(texts: Texts, recipe: Recipe, panel: Panel, asker: Asker) -> Scores:
    """The level of every text; of genuine and hollow ones also by a reworded prompt and with the levels reversed."""
    found = Scores()
    rows = [(facet, kind, at) for facet, all_ in texts.contexts.items() for at, own in enumerate(all_) for kind in own]
    given = [(facet, texts.contexts[facet][at][kind]) for facet, kind, at in rows]
    _put(found, texts, rows, await _levels(given, recipe, panel, asker))
    ends = [(facet, kind, at) for facet, kind, at in rows if kind in ("genuine", "hollow")]
    given = [(facet, texts.contexts[facet][at][kind]) for facet, kind, at in ends]
    for name, other in ((REWORDED, _reworded(panel)), (DOWNWARDS, _downwards(panel))):
        levels = await _levels(given, recipe, other, asker)
        _put(found, texts, [(facet, f"{kind} {name}", at) for facet, kind, at in ends], levels)
    controls = [(facet, messages) for facet, all_ in texts.controls.items() for messages in all_]
    levels = await _levels(controls, recipe, panel, asker)
    for facet in texts.controls:
        own = [level for (of, _), level in zip(controls, levels, strict=True) if of == facet]
        found.controls[facet] = np.asarray(own, np.float64)
    labelled = texts.labelled.unique("id", maintain_order=True)
    levels = await _levels(list(labelled.select("facet", "messages").iter_rows()), recipe, panel, asker)
    found.labelled = dict(zip(labelled["id"], levels, strict=True))
    return found


def _put(found: Scores, texts: Texts, rows: Sequence[tuple[str, str, int]], levels: Sequence[float]) -> None:
    for (facet, kind, at), level in zip(rows, levels, strict=True):
        own = found.by_kind.setdefault(facet, {})
        if kind not in own:
            own[kind] = np.full(len(texts.contexts[facet]), np.nan)
        own[kind][at] = level


async def _levels(rows: Sequence[tuple[str, Messages]], recipe: Recipe, panel: Panel, asker: Asker) -> list[float]:
    """The level of each (facet, conversation); NaN for those that the judge gave none."""
    if not rows:
        return []
    schema: dict[str, Any] = {"id": pl.String, "facet": pl.String, "messages": MESSAGES}
    table = pl.DataFrame(
        [(str(at), facet, list(messages)) for at, (facet, messages) in enumerate(rows)], schema=schema, orient="row"
    )
    judged = await judge_drafts(table, recipe.rubrics, asker, _without_evidence(panel))
    return judged["level"].fill_null(float("nan")).to_list()


def _without_evidence(panel: Panel) -> Panel:
    update: Mapping[str, float] = {"evidence_from": NO_EVIDENCE}
    return replace(
        panel, judges=tuple(replace(one, settings=one.settings.model_copy(update=update)) for one in panel.judges)
    )


def _reworded(panel: Panel) -> Panel:
    return replace(
        panel,
        judges=tuple(
            replace(one, prompts={**one.prompts, "level": one.prompts["level_reworded"]}) for one in panel.judges
        ),
    )


def _downwards(panel: Panel) -> Panel:
    return replace(panel, judges=tuple(replace(one, downwards=True) for one in panel.judges))
