"""Twins, end to end: pairs in a release, replayed byte for byte, within the budget, forecast, traced, on the card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from thousandfold import gen
from thousandfold.gen import Ask, Outcome
from thousandfold.gen.budget import Budget
from thousandfold.gen.charges import Spent
from thousandfold.gen.ladders import reasks_of
from thousandfold.gen.reasking import with_follow_ups
from thousandfold.gen.recipe import BudgetSettings, load
from thousandfold.gen.twins import stratified

from ._runs import RESPECT, VOCABULARY, Scripted, command, content, copied, plain_reply
from .test_pairs import HOLLOW, read_as_trl_documents_it

SIZE = 24
FOLDERS = ("train", "heldout", "tables", "formats")


def recipe_with(folder: Path, twins: str, **settings: Any) -> Path:
    path = copied(RESPECT, folder, **settings)
    with (path / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[twins]\n{twins}\n")
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recipe_with(tmp_path_factory.mktemp("twins") / "respect", "share = 0.5", size=SIZE)


@pytest.fixture(scope="module")
def run(recipe: Path) -> gen.Run:
    return gen.run(recipe, out=recipe.parent / "out", concurrency=64)


def pairs_of(run: gen.Run) -> pl.DataFrame:
    assert run.release is not None
    return pl.read_parquet(run.release / "tables" / "pairs.parquet")


def test_a_release_holds_pairs_of_its_own_exemplars(run: gen.Run) -> None:
    assert run.release is not None
    rows = read_as_trl_documents_it(run.release / "formats" / "preference" / "pairs.jsonl")
    pairs = pairs_of(run)
    assert pairs.height == SIZE // 2
    assert [row["id"] for row in rows] == pairs.filter("kept")["id"].to_list()
    assert len(rows) >= SIZE // 2 - 1
    exemplars = dict(run.exemplars.select("id", "messages").iter_rows())
    for row in rows:
        assert row["prompt"] + row["chosen"] == exemplars[row["id"]]
    assert len({row["rejected"][0]["content"] for row in rows}) == len(rows)


def test_the_manifest_knows_the_file_and_verify_finds_no_damage(run: gen.Run, recipe: Path) -> None:
    assert run.release is not None
    manifest = json.loads((run.release / "manifest.json").read_bytes())
    assert "formats/preference/pairs.jsonl" in manifest["files"]
    facts = manifest["pairs"]
    assert facts == run.summary["pairs"]
    assert facts["asked_for"] == SIZE // 2
    assert abs(facts["median_length_ratio"] - 1) < 0.1
    assert command("verify", recipe.parent / "out", cwd=recipe.parent).code == 0


def test_concurrency_and_replay_write_the_same_bytes(run: gen.Run, recipe: Path, tmp_path: Path) -> None:
    alone = gen.run(recipe, out=tmp_path / "out", concurrency=1)
    assert content(alone.release, *FOLDERS) == content(run.release, *FOLDERS)
    again = gen.run(recipe, out=recipe.parent / "out", offline=True)
    assert (again.release, again.summary["asked"]) == (run.release, 0)


def test_without_twins_nothing_is_asked_and_nothing_of_them_is_written(tmp_path: Path) -> None:
    none = gen.run(copied(RESPECT, tmp_path / "respect", size=SIZE), out=tmp_path / "out")
    assert none.release is not None
    assert not (none.release / "formats").exists()
    assert not (none.release / "tables" / "pairs.parquet").exists()
    assert "pairs" not in none.summary
    assert "preference" not in (none.release / "README.md").read_text(encoding="utf-8")


def test_twins_change_nothing_of_what_is_trained_on(run: gen.Run, tmp_path: Path) -> None:
    none = gen.run(copied(RESPECT, tmp_path / "respect", size=SIZE), out=tmp_path / "out")
    assert content(none.release, "train", "heldout") == content(run.release, "train", "heldout")


def test_the_card_says_how_many_and_how_they_match(run: gen.Run) -> None:
    assert run.release is not None
    text = (run.release / "README.md").read_text(encoding="utf-8")
    configs = {config["config_name"]: config for config in yaml.safe_load(text.split("---")[1])["configs"]}
    assert configs["preference"]["data_files"] == [{"split": "train", "path": "formats/preference/pairs.jsonl"}]
    section = text.split("## Preference pairs")[1].split("\n## ")[0]
    facts = run.summary["pairs"]
    assert f"{facts['kept']} pairs of {SIZE // 2} asked for" in section
    assert f"median length of a rejected answer: {facts['median_length_ratio']:.2f}" in section
    assert "lists 0% and 0%" in section
    assert "largest family of openings" in section


def test_trace_shows_the_rejected_answer_and_the_question_for_it(run: gen.Run, recipe: Path) -> None:
    pair = pairs_of(run).filter("kept").row(0, named=True)
    out = recipe.parent / "out"
    told = command("trace", out, pair["id"], "--json", cwd=recipe.parent).json
    assert told["pair"]["rejected"] == pair["rejected"]
    assert told["asks"]["hollow"]["ask"] == pair["ask_id"]
    assert told["asks"]["hollow"]["prompts"] == ["hollow"]
    said = command("trace", out, pair["id"], cwd=recipe.parent).out
    assert "pair       kept" in said
    assert pair["rejected"].split()[0] in said


def test_plan_forecasts_the_twins(tmp_path: Path) -> None:
    plain = gen.plan(copied(RESPECT, tmp_path / "plain", size=SIZE)).forecast
    twins = gen.plan(recipe_with(tmp_path / "twins", "share = 0.5", size=SIZE)).forecast
    assert twins.asks[0] - plain.asks[0] == SIZE // 2
    assert SIZE // 2 <= twins.asks[1] - plain.asks[1] <= SIZE // 2 * 1.2 + 1
    assert twins.tokens[0] > plain.tokens[0]
    assert twins.contexts == plain.contexts


def hollow(reply: Callable[[Ask], str | Outcome]) -> Callable[[Ask], str | Outcome]:
    return lambda ask: reply(ask) if ask.purpose == "hollow" else plain_reply(ask)


def test_replies_that_are_no_twin_are_counted_and_cost_no_exemplar(tmp_path: Path) -> None:
    def reply(ask: Ask) -> str | Outcome:
        kind = int(ask.id[2:4], 16) % 3
        if kind == 0:
            return Outcome(ask.id, failure="refused", detail="not that")
        return "I would rather not." if kind == 1 else json.dumps({"answer": HOLLOW[:-20]})

    recipe = recipe_with(tmp_path / "respect", "share = 1.0", size=SIZE)
    run = gen.run(recipe, teacher=Scripted(hollow(reply)), judge="none", out=tmp_path / "out")
    assert run.release is not None
    assert run.exemplars.height == SIZE
    assert run.summary["exit"] == 0
    assert run.summary["pairs"]["kept"] == 0
    assert sum(run.summary["pairs"]["left_out"].values()) == SIZE
    assert set(run.summary["pairs"]["left_out"]) == {"no_answer", "cut_off"}
    assert not (run.release / "formats").exists()
    assert "refused: not that" in pairs_of(run)["detail"].to_list()


def wordy(ask: Ask) -> str:
    """A plain reply; what the person of an exemplar says is long, so that a twin is dear at its worst."""
    if ask.purpose == "hollow":
        return json.dumps({"answer": HOLLOW})
    reply = json.loads(plain_reply(ask))
    if ask.purpose == "exemplar":
        words = (VOCABULARY[ask.request_seed * (k + 3) ** 2 % 1_000_003 % len(VOCABULARY)] for k in range(1300))
        reply["messages"][0]["content"] += f" By the way, there is {', '.join(words)}."
    return json.dumps(reply)


def test_a_budget_that_ends_before_the_twins_says_so_and_replays_the_same(tmp_path: Path) -> None:
    off = '[filters]\noff = ["leaks", "prompts"]  # long questions that share a vocabulary'
    recipe = recipe_with(tmp_path / "respect", f"share = 1.0\n{off}", size=10)
    teacher = Scripted(wordy)
    whole = gen.run(recipe, teacher=teacher, judge="none", out=tmp_path / "whole")
    assert whole.funnel["dropped"] == {}
    twins = [ask for ask in teacher.asked if ask.purpose == "hollow"]
    assert (whole.summary["exit"], len(twins)) == (0, 10)
    spent = 200 * (len(teacher.asked) - len(twins))  # as Scripted counts
    held = Budget(BudgetSettings(tokens=10**9), {}, Spent())
    worst = max(10**9 // held.affordable(with_follow_ups([ask], reasks_of(load(recipe)))).of_run for ask in twins)  # type: ignore[union-attr]
    limit = spent + worst + 200 * 4
    options: dict[str, Any] = {"judge": "none", "out": tmp_path / "short", "budget_tokens": limit}
    short = gen.run(recipe, teacher=Scripted(wordy), **options)
    assert short.exemplars.height == 10
    assert short.summary["exit"] == 3
    assert short.summary["pairs"]["left_out"]["not_asked"] == 5
    assert pairs_of(short)["reason"].to_list()[5:] == ["not_asked"] * 5
    again = gen.run(recipe, teacher=Scripted(wordy), offline=True, **options)
    assert again.summary["asked"] == 0
    assert content(again.release, "train", "heldout", "tables") == content(short.release, "train", "heldout", "tables")


def levels(counts: dict[tuple[str, str], int]) -> pl.DataFrame:
    cells = [cell for cell, count in counts.items() for _ in range(count)]
    return pl.DataFrame({"id": list(range(len(cells))), "facet": [f for f, _ in cells], "tone": [t for _, t in cells]})


def test_a_share_of_the_exemplars_has_the_same_share_of_every_level() -> None:
    rows = levels({("a", "calm"): 60, ("b", "calm"): 20, ("a", "cross"): 20, ("b", "cross"): 60})
    rows = rows.sort(pl.col("id") * 7 % 160)
    half = stratified(rows, ["facet", "tone"], 80)
    assert half.height == 80
    assert Counter(half["facet"]) == Counter(half["tone"].replace({"calm": "a", "cross": "b"})) == {"a": 40, "b": 40}
    assert half["id"].to_list() == [i for i in rows["id"] if i in set(half["id"])]


def test_a_share_takes_the_first_of_equals_and_all_where_all_are_wanted() -> None:
    rows = levels({("a", "calm"): 10})
    assert stratified(rows, ["facet", "tone"], 4)["id"].to_list() == [0, 1, 2, 3]
    assert stratified(rows, ["facet", "tone"], 10).equals(rows)
    assert stratified(rows, ["facet", "tone"], 0).height == 0
