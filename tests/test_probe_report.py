"""What a run, its manifest and its card say of shortcuts in the pairs they hold."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.pairs_report import card_section
from thousandfold.gen.probe_report import ALL, alarms, brief, card_lines, probe_facts
from thousandfold.gen.release import read_manifest
from thousandfold.gen.tables import PAIRS, frame

from ._runs import RESPECT, copied
from .test_probe import PHRASE, sides


def pairs_of(rate: float, *, facets: int = 2, count: int = 80) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(PAIRS frame, drafts) of made-up pairs, `rate` of the chosen ones with the phrase."""
    chosen, rejected, groups = sides(count, rate=rate)
    nothing = dict.fromkeys(PAIRS)
    rows = [
        nothing | {"id": f"d-{n:03}", "facet": f"value {n % facets}", "kept": True, "rejected": text}
        for n, text in enumerate(rejected)
    ]
    drafts = pl.DataFrame(
        {
            "id": [row["id"] for row in rows],
            "seed_id": groups,
            "messages": [[{"role": "user", "content": "So?"}, {"role": "assistant", "content": t}] for t in chosen],
        }
    )
    return frame(rows, PAIRS), drafts


def test_a_phrase_in_the_chosen_answers_is_told_for_all_and_for_each_value() -> None:
    facts = probe_facts(*pairs_of(0.95))
    assert list(facts["shortcut"]) == [ALL, "value 0", "value 1"]
    assert all(found["alarm"] for found in facts["shortcut"].values())
    said = list(alarms(facts))
    assert sum(f"the pairs teach “{PHRASE}”" in line and "rather than the behaviour" in line for line in said) == 3
    assert "shortcut alarm: pairs of all values, value 0, value 1 teach phrases" in next(brief(facts))
    assert f"- shortcut, all values: **alarm**, AUC {facts['shortcut'][ALL]['auc']:.2f}" in card_lines(facts)[0]


def test_pairs_that_nothing_tells_apart_are_said_to_be_so() -> None:
    facts = probe_facts(*pairs_of(0.0))
    assert list(alarms(facts)) == list(brief(facts)) == []
    assert facts["shortcut"][ALL]["phrases"] == []
    assert facts["style"][ALL]["passed"]
    assert card_lines(facts)[0].startswith("- shortcut, all values: AUC 0.")


def test_pairs_that_were_left_out_are_not_looked_at() -> None:
    pairs, drafts = pairs_of(0.0)
    spoilt = pairs.with_columns(rejected=pl.format("{} Zum zum zum.", pl.col("rejected")), kept=pl.lit(value=False))
    more = spoilt.with_columns(id=pl.format("x{}", pl.col("id")))
    drafts = pl.concat([drafts, drafts.with_columns(id=pl.format("x{}", pl.col("id")))])
    assert probe_facts(pl.concat([pairs, more]), drafts) == probe_facts(pairs, drafts)


def test_of_too_few_pairs_it_is_said_that_nothing_was_measured() -> None:
    facts = probe_facts(*pairs_of(1.0, count=12))
    assert facts == {"shortcut": {}, "style": {}}
    assert card_lines(facts) == ["- shortcuts and style were not measured: too few pairs, or all of one seed"]


@pytest.fixture(scope="module")
def with_pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[gen.Run, list[str]]:
    """Rehearsal's genuine and hollow answers are composed of two stocks of sentences: that is a shortcut."""
    folder = tmp_path_factory.mktemp("pairs")
    recipe = copied(RESPECT, folder / "recipe")
    text = (recipe / "recipe.toml").read_text(encoding="utf-8")
    (recipe / "recipe.toml").write_text(f"{text}\n[twins]\nshare = 1.0\n", encoding="utf-8")
    notes: list[str] = []

    def listen(event: gen.Event) -> None:
        if event.kind == "note":
            notes.append(event.fields["text"])

    return gen.run(recipe, size=40, out=folder / "out", on_event=listen), notes


def test_a_run_says_the_alarm_and_keeps_it_in_manifest_summary_and_card(
    with_pairs: tuple[gen.Run, list[str]],
) -> None:
    run, notes = with_pairs
    assert run.release is not None
    told = read_manifest(run.release)["pairs"]
    assert told["shortcut"] == run.summary["pairs"]["shortcut"]
    found = told["shortcut"][ALL]
    assert found["alarm"]
    assert found["auc"] > found["limit"] == 0.8
    assert any(note.startswith("shortcut alarm, all values: ") for note in notes)
    card = (run.release / "README.md").read_text(encoding="utf-8")
    phrase = found["phrases"][0]["phrase"][:50]
    assert f"“{phrase}" in card.split("## What is in it", maxsplit=1)[0]
    assert "**shortcut alarm, all values:**" in card
    assert "- style alone, all values: " in card_section(told)


def test_the_same_run_again_measures_the_same(with_pairs: tuple[gen.Run, list[str]]) -> None:
    run, _ = with_pairs
    assert run.release is not None
    out = run.release.parent.parent
    again = gen.run(out.parent / "recipe", size=40, out=out, offline=True, concurrency=1)
    assert again.summary["pairs"] == run.summary["pairs"]


def test_an_answer_by_people_has_a_twin_too(tmp_path: Path, with_pairs: tuple[gen.Run, list[str]]) -> None:
    run, _ = with_pairs
    assert run.release is not None
    rows = run.exemplars.head(12).select("messages", "facet", "because")
    again = gen.run(run.release.parent.parent.parent / "recipe", size=14, seed=3, out=tmp_path, drafts=rows)
    drafts = pl.read_parquet(again.release / "tables" / "drafts.parquet").filter(pl.col("teacher").is_null())  # type: ignore[operator]
    pairs = pl.read_parquet(again.release / "tables" / "pairs.parquet")  # type: ignore[operator]
    assert pairs.filter(pl.col("kept") & pl.col("id").is_in(drafts["id"].implode())).height > 0
