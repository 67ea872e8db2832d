"""The sealed sets are noted by their hashes before anything is asked, and a later run that changes them says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.contexts import plan_contexts
from thousandfold.gen.frozen import NOTE, freeze, set_sums
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.seeds import read_seeds
from thousandfold.gen.teachers.base import Ask

from ._recipes import RESPECT
from ._runs import Scripted, plain_reply

SETS = ["comp", "ctrl", "far", "id", "lodo"]


def frozen(ledger: Ledger, heldout: int, changes: Mapping[str, Any] | None = None) -> list[str]:
    """The sets that are said to differ, by name."""
    recipe = load(RESPECT, changes)
    said = freeze(recipe, read_seeds(recipe), ledger, heldout=heldout)
    return [sentence.removeprefix("the sealed set ").split(" ")[0] for sentence in said]


def test_a_set_that_only_grows_or_shrinks_is_the_same_set(ledger: Ledger) -> None:
    assert frozen(ledger, 20) == []
    first = ledger.note(NOTE)
    assert sorted(first["sets"]) == SETS
    assert frozen(ledger, 45) == []
    larger = ledger.note(NOTE)
    assert larger["heldout"] == 45
    assert not set(larger["sets"].values()) & set(first["sets"].values())
    assert frozen(ledger, 10) == []
    assert ledger.note(NOTE) == larger


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"heldout.levels": {"domain": ["law"]}}, SETS),  # another domain fewer for training is another plan of each
        ({"seed": 2}, SETS),
        ({"heldout.control": [{"facet": "honest apology", "fault": "third party"}]}, ["ctrl"]),
        ({"heldout.share": 0.2, "teacher.max_tokens": 999, "drafts.candidates": 2, "size": 90}, []),
    ],
)
def test_a_recipe_that_changes_what_is_sealed_is_told_of_each_set_once(
    ledger: Ledger, changes: dict[str, Any], changed: list[str]
) -> None:
    assert frozen(ledger, 20) == []
    told = frozen(ledger, 20, changes)
    assert told == changed
    assert frozen(ledger, 20, changes) == []


def test_a_held_out_seed_that_is_reworded_changes_the_sets_that_descend_from_it() -> None:
    recipe: Recipe = load(RESPECT)
    seeds = read_seeds(recipe)
    contexts = plan_contexts(recipe, seeds, train=0, heldout=30)
    victim = contexts.filter(pl.col("set") == "ctrl")["seed_id"][0]
    other = [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": "Well."}]
    reworded = pl.DataFrame(
        [{**row, "messages": other} if row["id"] == victim else row for row in seeds.to_dicts()], schema=seeds.schema
    )
    before, after = set_sums(contexts, seeds), set_sums(contexts, reworded)
    descending = set(contexts.filter(pl.col("seed_id") == victim)["set"])
    assert {name for name in SETS if before[name] != after[name]} == descending


def test_the_hashes_stand_in_the_ledger_before_the_first_ask(tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(ask: Ask) -> str:
        with Ledger(tmp_path / "ledger.sqlite", read_only=True) as ledger:
            seen.append(ledger.note(NOTE))
        return plain_reply(ask)

    run = gen.run(RESPECT, size=10, out=tmp_path, teacher=Scripted(look), judge="none")
    assert seen[0]["heldout"] == 1
    assert all(note == seen[0] for note in seen)
    assert run.release is not None


def test_a_run_says_which_sealed_sets_are_not_those_of_the_runs_before_it(tmp_path: Path) -> None:
    told: list[str] = []

    def hear(event: Any) -> None:
        if event.kind == "note":
            told.append(event.fields["text"])

    gen.plan(RESPECT, size=60, pilot=2, out=tmp_path, on_event=hear)
    assert [text for text in told if "sealed set" in text] == []
    gen.plan(RESPECT, size=60, seed=5, pilot=2, out=tmp_path, on_event=hear)
    said = [text for text in told if text.startswith("the sealed set")]
    assert [text.split(" ")[3] for text in said] == SETS
    assert said[0] == (
        "the sealed set comp is not the one that was frozen here before: what was trained on earlier releases of this "
        "output may have met it"
    )


def test_every_sealed_set_comes_into_the_release_as_prompts_of_the_person_alone(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=100, out=tmp_path, judge="none")
    assert run.release is not None
    for name in SETS:
        lines = (run.release / "heldout" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert len(rows) == 2, name
        assert {turn["role"] for row in rows for turn in row["messages"]} == {"user"}


def test_only_control_is_asked_for_situations_in_which_the_value_is_not_called_for(tmp_path: Path) -> None:
    asked: list[Ask] = []

    def hear(ask: Ask) -> str:
        asked.append(ask)
        return plain_reply(ask)

    gen.run(RESPECT, size=100, out=tmp_path, teacher=Scripted(hear), judge="none")
    control = [ask for ask in asked if "over-expression" in ask.messages[0].content]
    assert {ask.purpose for ask in control} == {"scenario", "exemplar"}
    assert len(control) == 4
    for ask in asked:
        words = ask.messages[-1].content
        assert ("facet: honest apology" in words and "\nfault: none" in words) == (ask in control)
