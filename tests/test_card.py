"""The data card: its front matter is YAML whatever the recipe says, and it does not hide what is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from thousandfold.gen.card import REHEARSAL_NOTE, UNCHECKED_NOTE, UNJUDGED_NOTE, card_text
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.tables import MESSAGES

from ._recipes import RESPECT, rubric, small_recipe

NASTY = '"quoted\\" | {name} <script>: #no [x](y) & 🙂\u0085 \x7f\u2028 --- '


def exemplars(recipe: Recipe, count: int = 4) -> pl.DataFrame:
    turn = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    rows = [
        {
            "id": f"d-{i}",
            "messages": turn * (1 + i % 2),
            **{axis: levels[i % len(levels)] for axis, levels in recipe.train_levels.items()},
        }
        for i in range(count)
    ]
    schema: dict[str, Any] = {"id": pl.String, "messages": MESSAGES, **dict.fromkeys(recipe.axes, pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def facts(**changes: Any) -> dict[str, Any]:
    known = {
        "funnel": {
            "contexts": 9,
            "drafts": 8,
            "dropped": {"cut_off": 2, "near_duplicate": 1},
            "kept": 5,
            "unscored": 0,
            "pool": 5,
            "selected": 4,
            "heldout": 3,
        },
        "models": {
            "teacher": {"model": "openai:x", "family": "x"},
            "judge": {"model": "openai:y", "family": "y"},
        },
        "cost": {"usd": 1.5, "replies": 20, "failures": 1, "prompt_tokens": 1000, "completion_tokens": 500},
        "rounds": 2,
        "certificate": 0.875,
        "rehearsal": False,
        "judged": "unchecked",
        "shortfalls": [],
        "exit": 0,
    }
    return known | changes


@pytest.fixture(scope="module")
def respect() -> Recipe:
    return load(RESPECT)


def front_matter(card: str) -> dict[str, Any]:
    opening, head, _ = card.split("---\n", 2)
    assert opening == ""
    fields = yaml.safe_load(head)
    assert isinstance(fields, dict)
    return fields


def test_the_front_matter_is_what_a_hub_reads(respect: Recipe) -> None:
    assert front_matter(card_text(respect, facts(), exemplars(respect))) == {
        "pretty_name": "respect",
        "license": "apache-2.0",
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "tags": ["synthetic", "thousandfold"],
        "configs": [
            {"config_name": "train", "default": True, "data_files": [{"split": "train", "path": "train/sft.jsonl"}]},
            {"config_name": "heldout", "data_files": [{"split": "test", "path": "heldout/*.jsonl"}]},
        ],
    }


@pytest.mark.parametrize(
    "words", ["no", "~", "2026-11-23", "a: b", "- x", 'a "b" | c', "é 🙂", NASTY, "yes # not", "'", "%", "&x *y"]
)
def test_the_front_matter_parses_whatever_the_words_of_the_recipe_are(tmp_path: Path, words: str) -> None:
    recipe = load(small_recipe(tmp_path), {"licence": words, "language": words, "description": words})
    fields = front_matter(card_text(recipe, facts(), exemplars(recipe)))
    assert fields["license"] == words.lower()
    assert fields["language"] == [words]


@pytest.mark.parametrize(
    ("count", "bucket"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (10_000, "10K<n<100K"), (99_999, "10K<n<100K"), (100_000, "100K<n<1M")],
)
def test_the_size_is_given_in_the_buckets_of_hubs(tmp_path: Path, count: int, bucket: str) -> None:
    recipe = load(small_recipe(tmp_path))
    fields = front_matter(card_text(recipe, facts(), exemplars(recipe, count)))
    assert fields["size_categories"] == [bucket]


def test_the_recipes_words_cannot_break_out_of_their_line(tmp_path: Path) -> None:
    nasty = "two\nlines | a bar <b>bold</b> {name} # head"
    files = {"values/candour.toml": rubric().replace("Says what is so, of candour.", nasty.replace("\n", "\\n"))}
    recipe = load(small_recipe(tmp_path, files), {"description": nasty})
    card = card_text(recipe, facts(), exemplars(recipe))
    told = "two lines \\| a bar &lt;b>bold&lt;/b> { name } # head"
    assert f"\n\n{told}\n\n" in card
    assert f"- **candour**: {told}" in card
    assert card.count("{name}") == 1
    assert "<b>" not in card


def test_the_card_counts_what_is_there(respect: Recipe) -> None:
    card = card_text(respect, facts(), exemplars(respect))
    assert "4 exemplars in `train/sft.jsonl`" in card
    assert "3 sealed prompts in `heldout/`" in card
    assert "2 of the conversations have more than one exchange" in card
    assert "| dropped: near_duplicate | 1 |\n| kept by the filters | 5 |" in card
    assert "- judge: `openai:y` (family y)" in card
    assert "1500 tokens, cost 1.5000 USD" in card
    assert "- selection certificate: 0.875" in card
    assert "**stakes**: everyday 1 · costly 1 · serious 1 · irreversible 1" in card
    assert "public service sealed · trades sealed" in card
    assert card.startswith("---\n")
    assert card.endswith("\n")


def test_an_axis_may_be_called_count(tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path, {"axes.toml": '[count.levels]\none = ""\ntwo = ""\n'}))
    assert "**count**: one 2 · two 2" in card_text(recipe, facts(), exemplars(recipe))


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({"rehearsal": True}, [REHEARSAL_NOTE, UNCHECKED_NOTE], [UNJUDGED_NOTE]),
        ({"judged": "unjudged"}, [UNJUDGED_NOTE], [REHEARSAL_NOTE, UNCHECKED_NOTE, "Scores are the judge's"]),
        ({}, [UNCHECKED_NOTE, "Scores are the judge's; no human labels were used."], ["**Partial.**", "**Short"]),
        ({"exit": 3}, ["**Partial.** The run stopped at its budget before the pool was full."], []),
        (
            {"shortfalls": [{"axis": "domain", "level": "law|x", "wanted": 9, "got": 2}]},
            ["**Short of its quotas:** domain = law\\|x: 2 of 9."],
            [],
        ),
        (
            {"cost": facts()["cost"] | {"usd": None}},
            ["cost unknown (no price is given for a model)"],
            ["cost 0."],
        ),
        (
            {"models": {"teacher": {"model": "openai:x", "family": "x"}, "judge": None}},
            ["- judge: none"],
            ["family y"],
        ),
    ],
)
def test_what_is_not_known_is_said(
    respect: Recipe, changes: dict[str, Any], said: list[str], unsaid: list[str]
) -> None:
    card = card_text(respect, facts(**changes), exemplars(respect))
    assert [words for words in said if words not in card] == []
    assert [words for words in unsaid if words in card] == []
    assert "has not been measured here" in card
