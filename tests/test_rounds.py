"""Rounds of a whole run: the money goes where it is short and not where nothing passes; where a data set stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen import Ask
from thousandfold.gen.output import Output
from thousandfold.gen.standing import standing_of
from thousandfold.gen.variety import idea_numbers

from ._recipes import small_recipe
from ._runs import RESPECT, Scripted, command, plain_reply

SIZE = 60


def cut_where(hopeless: Callable[[str], bool]) -> Scripted:
    """A writer whose answers break off wherever the card says that they will."""

    def reply(ask: Ask) -> str:
        said = plain_reply(ask)
        if ask.purpose != "exemplar" or not hopeless("\n".join(m.content for m in ask.messages)):
            return said
        told = json.loads(said)
        told["messages"][-1]["content"] += " And so we"
        return json.dumps(told)

    return Scripted(reply)


def drafted(run: gen.Run, **levels: str) -> pl.DataFrame:
    """Drafts for training in contexts with these levels, with the round they came in."""
    assert run.release is not None
    drafts, contexts = (pl.read_parquet(run.release / "tables" / f"{name}.parquet") for name in ("drafts", "contexts"))
    rows = drafts.join(contexts.filter(pl.col("split") == "train"), left_on="context_id", right_on="id")
    return rows.filter([pl.col(axis) == level for axis, level in levels.items()])


def test_a_level_that_can_never_pass_is_reported_with_its_reasons_and_asked_for_no_more(tmp_path: Path) -> None:
    writer = cut_where(lambda card: "fields and beasts" in card)
    run = gen.run(small_recipe(tmp_path / "recipe"), size=SIZE, out=tmp_path / "out", teacher=writer)
    assert run.summary["exit"] == 4
    [gone] = run.summary["given_up"]
    rows = drafted(run, domain="farm")
    assert gone == {"cell": {"domain": "farm"}, "tries": rows.height, "reasons": {"cut_off": rows.height}}
    assert set(rows["round"]) == {1}  # neither drawn again nor planned again
    assert rows.height < SIZE
    assert run.summary["accepted"] == SIZE  # the others make up for the number, the quota stays short
    assert run.summary["shortfalls"] == [{"axis": "domain", "level": "farm", "wanted": 12, "got": 0}]


def test_a_pair_that_can_never_pass_costs_its_levels_nothing(tmp_path: Path) -> None:
    writer = cut_where(lambda card: "fields and beasts" in card and "cross" in card)
    run = gen.run(small_recipe(tmp_path / "recipe"), size=SIZE, out=tmp_path / "out", teacher=writer)
    assert run.summary["exit"] == 0
    assert run.summary["accepted"] == SIZE
    assert [gone["cell"] for gone in run.summary["given_up"]] == [{"domain": "farm", "tone": "angry"}]
    assert set(drafted(run, domain="farm", tone="angry")["round"]) == {1}


def test_a_level_that_seldom_passes_is_asked_for_more_often_until_its_quota_is_met(tmp_path: Path) -> None:
    asked = 0

    def hopeless(card: str) -> bool:
        nonlocal asked
        asked += "fields and beasts" in card
        return "fields and beasts" in card and asked % 4 != 0

    run = gen.run(small_recipe(tmp_path / "recipe"), size=SIZE, out=tmp_path / "out", teacher=cut_where(hopeless))
    assert run.summary["exit"] == 0
    assert run.summary["given_up"] == []
    assert drafted(run, domain="farm").height > 1.5 * drafted(run, domain="law").height


def test_answers_of_the_same_sentences_in_another_order_are_one_idea() -> None:
    told = ["The fence is yours to mend.", "He asked twice and was told nothing.", "Begin with what it cost him."]
    other = "A contract is worth what both sides remember of it, so write down who pays for the timber."
    ideas = idea_numbers(pl.Series([" ".join(told), other, " ".join(told[::-1])]))
    assert ideas[0] == ideas[2] != ideas[1]


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rehearsed") / "out"
    assert gen.run(RESPECT, size=40, out=out).summary["exit"] == 0
    return out


def test_the_standing_counts_what_the_tables_hold(rehearsed: Path) -> None:
    run, found = gen.load(rehearsed), standing_of(Output.existing(rehearsed))
    levels = {(row["axis"], row["level"]): row for row in found.levels.to_dicts()}
    assert found.release == run.summary["name"]
    for axis in ("facet", "domain"):
        got = dict(run.exemplars[axis].value_counts().iter_rows())
        assert {level: row["got"] for (name, level), row in levels.items() if name == axis and row["got"]} == got
    sealed = levels["domain", "trades"]
    assert (sealed["state"], sealed["wanted"], sealed["drafts"], sealed["yield"]) == ("sealed", 0, 0, None)
    facets = [row for (axis, _), row in levels.items() if axis == "facet"]
    assert sum(row["pool"] for row in facets) == run.funnel["pool"]
    assert all(row["pool"] / row["drafts"] == row["yield"] for row in facets)
    assert sum(row["usd_per_accepted"] for row in facets) == 0  # rehearsal is free, not unknown
    assert all(1_000 < row["tokens_per_accepted"] < 20_000 for row in facets)
    assert found.levels["next"].sum() == 0  # the pool is full


def test_status_coverage_prints_the_table_and_json(rehearsed: Path, tmp_path: Path) -> None:
    said = command("status", rehearsed, "--coverage", cwd=tmp_path)
    assert said.code == 0
    assert "wanted  got  pool  drafts  yield" in said.out
    assert " trades " in said.out
    told = command("status", rehearsed, "--coverage", "--json", cwd=tmp_path).json
    assert told["levels"] == standing_of(Output.existing(rehearsed)).levels.to_dicts()
    assert told["given_up"] == []


def test_status_coverage_says_what_the_next_round_would_do_and_what_is_given_up(tmp_path: Path) -> None:
    writer = cut_where(lambda card: "fields and beasts" in card)
    out = tmp_path / "out"
    gen.run(small_recipe(tmp_path / "recipe"), size=SIZE, out=out, teacher=writer)
    said = command("status", out, "--coverage", cwd=tmp_path)
    assert "given up: domain = farm: " in said.out
    assert "drafts, all dropped (cut_off " in said.out


def test_status_coverage_of_an_output_without_a_release_is_one_error(tmp_path: Path) -> None:
    writer = Scripted(lambda _: "no")
    out = tmp_path / "out"
    assert gen.run(small_recipe(tmp_path / "recipe"), size=6, out=out, teacher=writer).release is None
    said = command("status", out, "--coverage", cwd=tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {str(out)!r} has no release yet\n")
