"""Several judges: each judges every text, the score is their mean, and a silent one is never passed over unsaid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold import gen
from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.descent import descent, descent_report
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.judgements import Judge, Panel, judge_drafts
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.models import models_of
from thousandfold.gen.options import load_with
from thousandfold.gen.output import Output
from thousandfold.gen.paths import panel_of
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.release import read_manifest
from thousandfold.gen.standing import standing_of
from thousandfold.gen.tables import MESSAGES, frame
from thousandfold.gen.teachers.base import Ask, Outcome
from thousandfold.gen.teachers.families import family_told

from ._recipes import RECIPE, RESPECT, small_recipe
from ._runs import Scripted, plain_reply

FACET = "honest apology"
ANSWER = "I read the table one row too low. The dose was double, and that is mine to mend. I ring her now."
Says = str | Callable[[Ask], str | Outcome]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load(RESPECT)


def judging(name: str, level: Says, spans: Mapping[str, str] | None = None) -> Scripted:
    items = [{"item": item, "span": span} for item, span in (spans or {}).items()]

    def reply(ask: Ask) -> str | Outcome:
        if ask.purpose == "evidence":
            return json.dumps({"items": items, "reason": f"so says {name}"})
        return level(ask) if callable(level) else level

    return Scripted(reply, model=f"test:{name}", family=name)


def judged(
    recipe: Recipe, ledger: Ledger, judges: Sequence[Scripted], *, least: int | None = None, concurrency: int = 4
) -> dict[str, Any]:
    panel = Panel(tuple(Judge(j.model, recipe.settings.judge, 1, recipe.prompts) for j in judges), least)
    asker = Asker(
        ledger=ledger,
        teachers={judge.model: judge for judge in judges},
        budget=Budget(recipe.settings.budget, {}, ledger.spent()),
        concurrency=concurrency,
    )
    rows = [{"id": "d", "facet": FACET, "messages": [{"role": "assistant", "content": ANSWER}]}]
    drafts = frame(rows, {"id": pl.String, "facet": pl.String, "messages": MESSAGES})
    return asyncio.run(judge_drafts(drafts, recipe.rubrics, asker, panel)).row(0, named=True)


def test_the_score_is_the_mean_of_the_judges_and_their_disagreement_is_kept(recipe: Recipe, ledger: Ledger) -> None:
    row = judged(recipe, ledger, [judging("a", "4"), judging("b", "2"), judging("c", "3")])
    assert (row["state"], row["level"], row["score"], row["level_range"]) == ("scored", 3.0, 0.75, 2.0)
    assert [(word["judge"], word["level"], word["method"]) for word in row["by_judge"]] == [
        ("test:a", 4.0, "samples"),
        ("test:b", 2.0, "samples"),
        ("test:c", 3.0, "samples"),
    ]
    assert row["judge"] == "test:a, test:b, test:c"
    assert row["reason"] == "test:a: so says a\ntest:b: so says b\ntest:c: so says c"


def test_a_silent_judge_leaves_the_row_unscored_unless_the_rule_says_otherwise(recipe: Recipe, ledger: Ledger) -> None:
    judges = [judging("a", "4"), judging("b", "between 3 and 4"), judging("c", "3")]
    row = judged(recipe, ledger, judges)
    assert (row["state"], row["score"], row["spans"]) == ("unscored", None, [])
    said = "test:b: the judge was asked for one digit 0 to 4 and wrote 'between 3 and 4'"
    assert row["reason"] == f"2 of 3 judges gave a level, and 3 must: {said}"
    assert [word["level"] for word in row["by_judge"]] == [4.0, None, 3.0]
    assert not any(ask.purpose == "evidence" for judge in judges for ask in judge.asked)
    lenient = judged(recipe, ledger, judges, least=2)
    assert (lenient["state"], lenient["level"], lenient["level_range"]) == ("scored", 3.5, 1.0)
    assert lenient["reason"].splitlines()[1] == f"test:b: no level: {said.removeprefix('test:b: ')}"
    assert judged(recipe, ledger, [judging("d", "?"), judging("e", "?")], least=1)["state"] == "unscored"


def test_an_item_counts_where_at_least_half_of_the_judges_quote_a_span_for_it(recipe: Recipe, ledger: Ledger) -> None:
    act, effect, repair = "I read the table one row too low.", "The dose was double", "I ring her now."
    judges = [
        judging("a", "4", {"names_the_act": act, "names_the_effect": effect, "offers_a_repair": "I shall ring her."}),
        judging("b", "3", {"names_the_act": "one row too low"}),
        judging("c", "3", {"offers_a_repair": repair}),
    ]
    row = judged(recipe, ledger, judges)
    assert row["spans"] == [
        {"item": "names_the_act", "span": act},
        {"item": "names_the_act", "span": "one row too low"},
    ]
    assert [[span["item"] for span in word["spans"]] for word in row["by_judge"]] == [
        ["names_the_act", "names_the_effect"],
        ["names_the_act"],
        ["offers_a_repair"],
    ]
    two = judged(recipe, ledger, judges[:2])  # one of two is half
    assert {span["item"] for span in two["spans"]} == {"names_the_act", "names_the_effect"}


def test_evidence_is_asked_for_where_the_panels_level_is_high_enough(recipe: Recipe, ledger: Ledger) -> None:
    judges = [judging("a", "4"), judging("b", "0")]
    assert judged(recipe, ledger, judges)["level"] == 2.0
    assert [[ask.purpose for ask in judge.asked] for judge in judges] == [["level", "evidence"]] * 2
    low = [judging("c", "3"), judging("d", "0")]
    judged(recipe, ledger, low)
    assert [[ask.purpose for ask in judge.asked] for judge in low] == [["level"]] * 2


@given(st.lists(st.sampled_from(["0", "1", "2", "3", "4", "none"]), min_size=1, max_size=5), st.integers(1, 5))
@hypothesis.settings(max_examples=40, deadline=None)
def test_a_panels_level_lies_within_its_range_and_is_there_exactly_where_the_rule_is_met(
    said: list[str], least: int
) -> None:
    recipe = load(RESPECT)
    with TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        row = judged(recipe, ledger, [judging(f"j{k}", level) for k, level in enumerate(said)], least=least)
    levels = [int(level) for level in said if level != "none"]
    assert (row["state"] == "scored") == (len(levels) >= min(least, len(said)))
    assert row["level_range"] == (max(levels) - min(levels) if len(levels) > 1 else None)
    if row["level"] is not None:
        assert min(levels) <= row["level"] <= max(levels)
        assert row["level"] == pytest.approx(sum(levels) / len(levels), abs=1e-6)


# ── in a recipe and a run ──

TWO = """
[[judges]]
model = "openai:claude-x"
samples = 4
concurrency = 3
[[judges]]
model = "openai:qwen-y"
[panel]
least = 1
"""
WRITER = '[teacher]\nmodel = "openai:gpt-z"\n'


def test_a_recipe_names_several_judges_each_with_settings_of_its_own(tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path, {"recipe.toml": RECIPE + WRITER + TWO}))
    models = models_of(recipe, None, None)
    assert [judge.model for judge in models.judges] == ["openai:claude-x", "openai:qwen-y"]
    assert models.at_once(recipe) == {"openai:claude-x": 3}
    panel = panel_of(recipe, models)
    assert panel is not None
    assert ([judge.settings.samples for judge in panel.judges], panel.least) == ([4, 1], 1)


def test_judges_that_are_named_replace_the_recipes_and_keep_their_tables(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path, {"recipe.toml": RECIPE + WRITER + TWO})
    one = load_with(folder, {"judge": ("openai:claude-x",)})
    assert [(judge.model, judge.samples) for judge in one.judges] == [("openai:claude-x", 4)]
    two = load_with(folder, {"judge": ["openai:qwen-y", "openai:grok-v"]})
    assert [(judge.model, judge.samples) for judge in two.judges] == [("openai:qwen-y", 1), ("openai:grok-v", 1)]
    assert models_of(load_with(folder, {"judge": ("none",)}), None, ("none",)).judges == ()
    assert len(load_with(folder, {"judge": ()}).judges) == 2


@pytest.mark.parametrize(
    ("settings", "options", "what"),
    [
        (
            '[judge]\nmodel = "rehearsal"\n' + TWO,
            {},
            "DIR/recipe.toml: [judge] and [[judges]] both say who judges",
        ),
        ('[[judges]]\nmodel = "openai:a"\n' * 2, {}, "DIR/recipe.toml: judges names the model 'openai:a' twice"),
        ('[[judges]]\nmodel = "openai:a"\n[[judges]]\n', {}, "DIR/recipe.toml: judges.1 names no model"),
        ("", {"judge": ["openai:a", "none"]}, "DIR/recipe.toml: judges.1 names no model"),
        ("[panel]\nleast = 2\n", {}, "DIR/recipe.toml: panel.least = 2, with 1 judge"),
        ("[panel]\nleast = 0\n", {}, "DIR/recipe.toml: panel.least = 0"),
        (
            WRITER,
            {"judge": ["openai:qwen-a", "openai:Qwen-b"]},
            "the judges 'openai:qwen-a' and 'openai:Qwen-b' are of one family (qwen)",
        ),
        (
            WRITER,
            {"judge": ["openai:qwen-a", "openai:gpt-b"]},
            "the judge 'openai:gpt-b' and the teacher 'openai:gpt-z' are of one family (gpt)",
        ),
        (
            WRITER,
            {"judge": ["openai:a@http://127.0.0.1:1/v1", "openai:a@http://127.0.0.1:2/v1"]},
            "two of the judges are 'openai:a'",
        ),
        (
            WRITER + '[families]\n"tuned-*" = "gpt"\n',
            {"judge": "openai:me/Tuned-7b"},
            "the judge 'openai:me/Tuned-7b' and the teacher 'openai:gpt-z' are of one family (gpt)",
        ),
        (
            WRITER + '[families]\n"gpt-*" = "rehearsal-teacher"\n',
            {"judge": "rehearsal"},
            "the rehearsal judge was asked to judge 'openai:gpt-z'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: str, options: dict[str, Any], what: str, tmp_path: Path) -> None:
    folder = small_recipe(tmp_path, {"recipe.toml": RECIPE + settings})
    with pytest.raises(RecipeError) as caught:
        models_of(load_with(folder, options), None, options.get("judge"))
    assert caught.value.what.replace(str(folder), "DIR") == what


def test_a_family_that_a_name_hides_may_be_told(tmp_path: Path) -> None:
    settings = '[families]\n"gpt-neo*" = "eleuther"\n'
    recipe = load(small_recipe(tmp_path, {"recipe.toml": RECIPE + WRITER + settings}))
    models = models_of(recipe, None, None)
    told = models_of(load_with(recipe.path, {"judge": "openai:gpt-neo-x"}), None, "openai:gpt-neo-x")
    assert models.judges == ()
    assert [told.family(model) for model in (*told.teachers, *told.judges)] == ["gpt", "eleuther"]


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("openai:org/My-Tune-7B", "a"),
        ("openai:my-tune", "a"),
        ("vllm:exact", "b"),
        ("openai:exact", None),
        ("langchain:pkg.Chat:my-tune-2", "c"),
        ("openai:other", None),
    ],
)
def test_a_pattern_is_of_the_whole_identity_or_the_models_own_name(model: str, family: str | None) -> None:
    families = {"my-tune*": "a", "vllm:exact": "b", "*:my-tune-2": "c"}
    assert family_told(model, families) == family


def test_a_run_with_two_judges_keeps_each_ones_word_in_table_manifest_and_costs(tmp_path: Path) -> None:
    def second(ask: Ask) -> str:
        return "3" if int(ask.id[-1], 16) % 2 else "2"

    judges = [judging("a", "4"), judging("b", second)]
    teacher = Scripted(plain_reply, model="test:w", family="w")
    run = gen.run(RESPECT, size=8, teacher=teacher, judge=judges, out=tmp_path)
    assert run.release is not None
    table = pl.read_parquet(run.release / "tables" / "judgements.parquet")
    assert set(table["score"]) == {0.75, 0.875}
    assert set(table["level_range"]) == {1.0, 2.0}
    manifest = read_manifest(run.release)
    assert manifest["models"]["judge"] == {"model": "test:a, test:b", "family": "a, b"}
    count = {"logprobs": 0, "samples": table.height, "unscored": 0}
    assert manifest["judges"] == [
        {"model": "test:a", "family": "a", **count},
        {"model": "test:b", "family": "b", **count},
    ]
    card = (run.release / "README.md").read_text(encoding="utf-8")
    assert f"- levels of `test:b`: 0 by the log-probabilities of the digit, {table.height} by what it wrote" in card
    asked = sum(len(one.asked) for one in (*judges, teacher))
    assert run.summary["asked"] == asked
    levels = standing_of(Output.existing(tmp_path)).levels.filter(pl.col("pool") > 0)
    # Each draft took two asks to write and two of each judge, at 200 tokens an ask.
    assert set(levels.filter(pl.col("pool") == pl.col("drafts"))["tokens_per_accepted"]) == {6 * 200.0}
    again = [judging("a", "4"), judging("b", second)]
    replay = gen.run(RESPECT, size=8, teacher=teacher, judge=again, out=tmp_path)
    assert replay.release == run.release
    assert [len(judge.asked) for judge in again] == [0, 0]


def test_trace_shows_each_judges_level_and_every_reply_that_could_not_be_read(tmp_path: Path) -> None:
    judges = [judging("a", "4"), judging("b", lambda ask: "2" if "cannot be used" in str(ask.messages) else "two")]
    run = gen.run(RESPECT, size=4, teacher=Scripted(plain_reply), judge=judges, out=tmp_path)
    found = descent(Output.existing(tmp_path), run.exemplars["id"][0])
    assert [(one["question"], one["reply"]) for one in found["unreadable"]] == [("level", "two")]
    said = "\n".join(str(line) for line in descent_report(found))
    assert "test:a: level 4 by samples\n" in said
    assert "test:b: level 2 by samples\n" in said
