"""How evenly a value is expressed: on answers with a known truth, by brute force, and in a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from thousandfold import gen
from thousandfold.gen.expression import EVIDENCE, FACETS, LEVELS, evidence, facets
from thousandfold.gen.expression_report import SHOWN, card_section, expression_table

from ._recipes import RESPECT

DOMAINS = ("law", "trade", "care", "school")


def judged(
    count: int,
    *,
    weak: str | None = None,
    by: float = 0.3,
    seeds: int = 8,
    of_seed: float = 0.0,
    noise: float = 0.1,
    seed: int = 0,
) -> pl.DataFrame:
    """Answers around .7: those of the domain `weak` lower `by` so much, each seed's shifted by noise of its own."""
    dice = np.random.default_rng(seed)
    domain = dice.choice(DOMAINS, count)
    tone = dice.choice(["warm", "dry"], count)
    lineage = dice.integers(0, seeds, count)
    scores = (
        0.7 + dice.normal(0, noise, count) + dice.normal(0, of_seed, seeds)[lineage] - by * (domain == (weak or ""))
    )
    return pl.DataFrame(
        {
            "facet": "apology",
            "seed_id": [f"s{number}" for number in lineage],
            "score": scores.clip(0, 1),
            "selected": scores > np.median(scores),
            "domain": domain,
            "tone": tone,
        }
    )


def told(rows: pl.DataFrame) -> tuple[dict[str, Any], dict[tuple[str, str], dict[str, Any]]]:
    found, levels = facets(rows, ["domain", "tone"])
    assert found.schema == pl.Schema(FACETS)
    assert levels.schema == pl.Schema(LEVELS)
    return found.row(0, named=True), {(row["axis"], row["level"]): row for row in levels.to_dicts()}


def test_what_is_counted_and_averaged_is_what_a_count_by_hand_gives() -> None:
    rows = judged(90).with_columns(score=pl.when(pl.int_range(90) % 9 == 0).then(None).otherwise("score"))
    facet, levels = told(rows)
    scores = rows["score"].drop_nulls().to_numpy()
    assert (facet["judged"], facet["scored"], facet["selected"]) == (90, 80, int(rows["selected"].sum()))
    assert facet["mean"] == pytest.approx(scores.mean(), abs=1e-6)
    assert facet["worst_tenth"] == pytest.approx(np.sort(scores)[:8].mean(), abs=1e-6)
    chosen = rows.filter(pl.col("selected") & pl.col("score").is_not_null())["score"]
    assert facet["selected_mean"] == pytest.approx(float(chosen.mean()), abs=1e-6)  # type: ignore[arg-type]
    law = rows.filter(pl.col("domain") == "law")
    assert levels["domain", "law"]["judged"] == law.height
    assert levels["domain", "law"]["scored"] == law["score"].count()
    assert levels["domain", "law"]["mean"] == pytest.approx(float(law["score"].mean()), abs=1e-6)  # type: ignore[arg-type]
    assert sum(levels["tone", tone]["judged"] for tone in ("warm", "dry")) == 90


def test_a_level_that_is_weaker_is_named_and_no_other() -> None:
    facet, levels = told(judged(200, weak="care"))
    assert [level for level, row in levels.items() if row["weaker"]] == [("domain", "care")]
    assert (facet["weaker"], facet["spread_axis"]) == (1, "domain")
    # Three levels at 0 and one .3 below: s.d. .13.
    assert facet["spread"] == pytest.approx(0.13, abs=0.02)
    own = levels["domain", "care"]
    assert own["mean"] < own["shrunk"] < facet["mean"]


def test_p_is_welch_s_adjusted_over_all_levels_of_the_facet() -> None:
    rows = judged(120, weak="law", by=0.05)
    _, levels = told(rows)
    found = []
    for axis, level in levels:
        inside = (rows[axis] == level).to_numpy()
        scores = rows["score"].to_numpy()
        test = stats.ttest_ind(scores[inside], scores[~inside], equal_var=False, alternative="less")
        found.append(float(test.pvalue))
    wanted = stats.false_discovery_control(found)
    assert [row["p"] for row in levels.values()] == pytest.approx(wanted.tolist(), abs=2e-6)


def test_where_all_levels_are_alike_hardly_any_is_named_and_the_spread_is_near_zero() -> None:
    runs = [told(judged(200, seed=seed)) for seed in range(100)]
    assert np.mean([facet["weaker"] > 0 for facet, _ in runs]) <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5
    assert np.mean([facet["spread"] for facet, _ in runs]) < 0.01


@pytest.mark.parametrize("of_seed", [0.0, 0.1])
def test_the_interval_holds_the_truth_as_often_as_it_says_also_where_a_seed_s_answers_are_alike(of_seed: float) -> None:
    inside = []
    for seed in range(200):
        facet, _ = told(judged(160, of_seed=of_seed, noise=0.05, seeds=12, seed=seed))
        inside.append(facet["low"] <= 0.7 <= facet["high"])
    assert 0.90 <= np.mean(inside) <= 0.99


def test_one_seed_has_no_interval_and_few_answers_are_not_compared() -> None:
    facet, levels = told(judged(12, seeds=1))
    assert (facet["low"], facet["high"]) == (None, None)
    assert all(row["p"] is None for row in levels.values() if row["scored"] < 5)


def test_a_facet_without_a_score_and_levels_without_one_are_null_and_not_zero() -> None:
    rows = judged(30).with_columns(score=pl.when(pl.col("domain") == "law").then(None).otherwise("score"))
    _, levels = told(rows)
    assert levels["domain", "law"]["mean"] is None
    assert not levels["domain", "law"]["weaker"]
    facet, _ = told(rows.with_columns(score=pl.lit(None, pl.Float64)))
    assert (facet["scored"], facet["mean"], facet["worst_tenth"], facet["spread"]) == (0, None, None, None)


def test_equal_scores_have_no_spread_and_no_weaker_level() -> None:
    facet, _ = told(judged(60).with_columns(score=pl.lit(0.75)))
    assert (facet["low"], facet["high"], facet["spread"], facet["weaker"]) == (0.75, 0.75, 0.0, 0)


def test_evidence_is_counted_once_a_text_and_only_where_it_was_asked_for() -> None:
    spans = [
        [{"item": "act", "span": "I did"}, {"item": "act", "span": "I"}],
        [{"item": "repair", "span": "x"}],
        [],
        [{"item": "act", "span": "y"}],
    ]
    rows = pl.DataFrame(
        {"facet": ["apology"] * 4, "spans": spans, "asked": [True, True, True, False]},
        schema_overrides={"spans": pl.List(pl.Struct({"item": pl.String, "span": pl.String}))},
    )
    found = evidence(rows, {"apology": ["act", "repair", "reason"], "praise": ["any"]})
    assert dict(found.schema) == dict(EVIDENCE)
    assert found.rows() == [
        ("apology", "act", 3, 1),
        ("apology", "repair", 3, 1),
        ("apology", "reason", 3, 0),
        ("praise", "any", 0, 0),
    ]


def test_card_and_screen_name_the_weakest_levels_in_words_that_no_recipe_can_break() -> None:
    rows = pl.concat(
        [
            judged(150, weak=domain, seed=at).with_columns(facet=pl.lit(f"f|{at}"))
            for at, domain in enumerate(DOMAINS * 2)
        ]
    )
    found, levels = facets(rows, ["domain", "tone"])
    expression = {
        "facets": [{**row, "unlike": 0.5} for row in found.to_dicts()],
        "levels": levels.to_dicts(),
        "evidence": [],
    }
    card = card_section(expression)
    assert card.count("- weaker: ") == SHOWN
    assert "where domain = care" in card
    table = [line for line in card.splitlines() if line.startswith("|")]
    assert len(table) == 10
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert expression_table(expression).row_count == 8


def test_a_release_says_how_evenly_its_values_are_expressed_and_an_unjudged_one_does_not(tmp_path: Path) -> None:
    done = gen.run(RESPECT, size=40, out=tmp_path / "out")
    assert done.release is not None
    manifest = json.loads((done.release / "manifest.json").read_text())
    expression = manifest["expression"]
    assert expression == done.summary["expression"] == gen.load(tmp_path / "out").summary["expression"]
    rows = {row["facet"]: row for row in expression["facets"]}
    assert sorted(rows) == sorted(done.exemplars["facet"].unique())
    assert sum(row["selected"] for row in rows.values()) == 40
    scores = done.exemplars.group_by("facet").agg(pl.col("score").mean())
    for facet, mean in scores.iter_rows():
        assert rows[facet]["selected_mean"] == pytest.approx(mean, abs=1e-6)
    assert {row["axis"] for row in expression["levels"]} == set(done.exemplars.columns[5:])
    assert all(row["shown"] <= row["asked"] for row in expression["evidence"])
    assert "## How evenly the values are expressed" in (done.release / "README.md").read_text()
    unjudged = gen.run(RESPECT, size=8, judge="none", out=tmp_path / "unjudged")
    assert "expression" not in unjudged.summary
