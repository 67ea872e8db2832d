"""Who judges: the hash by which a judge is known again changes with all that changes its scores, and with no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from thousandfold.gen.judgements import Judge, Panel, judge_hash
from thousandfold.gen.recipe import Recipe, load
from thousandfold.prompts import Prompt

from ._recipes import RESPECT

FACET = "honest apology"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load(RESPECT)


@pytest.fixture
def judge(recipe: Recipe) -> Judge:
    return Judge("test:judge", recipe.settings.judge, 1, recipe.prompts)


def with_settings(judge: Judge, **settings: Any) -> Judge:
    return replace(judge, settings=judge.settings.model_copy(update=settings))


def with_prompt(judge: Judge, name: str) -> Judge:
    prompt = judge.prompts[name]
    return replace(judge, prompts={**judge.prompts, name: Prompt(name, prompt.text + " Please.", origin=prompt.origin)})


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.5},
        {"max_tokens": 99},
        {"level_tokens": 99},
        {"samples": 3},
        {"evidence_from": 1.0},
        {"logprobs": 5},
        {"structured": "text"},
    ],
)
def test_a_setting_that_changes_answers_changes_the_hash(
    recipe: Recipe, judge: Judge, settings: dict[str, Any]
) -> None:
    rubric = recipe.rubrics[FACET]
    assert judge_hash(with_settings(judge, **settings), rubric) != judge_hash(judge, rubric)


@pytest.mark.parametrize("name", ["level", "evidence", "reask"])
def test_a_changed_word_of_a_prompt_changes_the_hash(recipe: Recipe, judge: Judge, name: str) -> None:
    rubric = recipe.rubrics[FACET]
    assert judge_hash(with_prompt(judge, name), rubric) != judge_hash(judge, rubric)


def test_model_rubric_and_how_often_is_asked_again_change_the_hash(recipe: Recipe, judge: Judge) -> None:
    rubric = recipe.rubrics[FACET]
    hashes = {
        judge_hash(judge, rubric),
        judge_hash(replace(judge, model="test:other"), rubric),
        judge_hash(replace(judge, reasks=0), rubric),
        judge_hash(judge, rubric.model_copy(update={"triggers": ("sorry",)})),
        judge_hash(judge, rubric.model_copy(update={"levels": {**rubric.levels, "4": "perfect"}})),
    }
    assert len(hashes) == 5


@pytest.mark.parametrize(
    "settings",
    [
        {"concurrency": 3},
        {"timeout_seconds": 5.0},
        {"deadline_seconds": 5.0},
        {"attempts": 2},
        {"requests_per_minute": 5.0},
        {"model": "openai:judge@http://127.0.0.1:8000/v1"},
    ],
)
def test_what_changes_no_reply_leaves_the_hash(recipe: Recipe, judge: Judge, settings: dict[str, Any]) -> None:
    rubric = recipe.rubrics[FACET]
    assert judge_hash(with_settings(judge, **settings), rubric) == judge_hash(judge, rubric)
    assert judge_hash(replace(judge, seed=7), rubric) == judge_hash(judge, rubric)
    unused = {name: prompt for name, prompt in judge.prompts.items() if name in ("level", "evidence", "reask")}
    assert judge_hash(replace(judge, prompts=unused), rubric) == judge_hash(judge, rubric)


def test_a_panels_hash_knows_its_members_and_its_rule_and_not_their_order(recipe: Recipe, judge: Judge) -> None:
    rubric, other = recipe.rubrics[FACET], replace(judge, model="test:other")
    panel = judge_hash(Panel((judge, other)), rubric)
    assert panel == judge_hash(Panel((other, judge)), rubric) == judge_hash(Panel((judge, other), least=2), rubric)
    assert panel not in (judge_hash(judge, rubric), judge_hash(other, rubric))
    assert panel != judge_hash(Panel((judge, other), least=1), rubric)
    assert judge_hash(Panel((judge,)), rubric) == judge_hash(judge, rubric)
