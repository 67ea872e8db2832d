"""Who writes for which context: by shares, the same on every machine, and without more moves than there must be."""

from __future__ import annotations

import math
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.errors import RecipeError
from thousandfold.gen.models import models_of
from thousandfold.gen.options import load_with
from thousandfold.gen.recipe import load
from thousandfold.gen.roster import FRACTION_BITS, Roster, Writer, _log2
from thousandfold.gen.settings import ShareSettings
from thousandfold.gen.teachers.adaptive import MOST_AT_ONCE

from ._recipes import RECIPE, small_recipe

CONTEXTS = [f"c-{k:016x}" for k in range(4000)]


def roster(**shares: float) -> Roster:
    return Roster([Writer(model, ShareSettings(model=model, share=share)) for model, share in shares.items()])


def first(of: Roster) -> dict[str, str]:
    return {context: of.order(context)[0] for context in CONTEXTS}


def test_each_teacher_writes_its_share() -> None:
    counts = Counter(first(roster(a=1, b=2, c=5)).values())
    for model, share in {"a": 1 / 8, "b": 2 / 8, "c": 5 / 8}.items():
        spread = math.sqrt(share * (1 - share) / len(CONTEXTS))
        assert abs(counts[model] / len(CONTEXTS) - share) < 4 * spread


def test_a_teacher_that_is_added_moves_its_own_share_and_no_other_context() -> None:
    before, after = first(roster(a=1, b=2)), first(roster(a=1, b=2, c=1))
    moved = {context for context in CONTEXTS if before[context] != after[context]}
    assert {after[context] for context in moved} == {"c"}
    assert abs(len(moved) / len(CONTEXTS) - 1 / 4) < 0.03


def test_a_larger_share_takes_from_the_others_and_gives_nothing_away() -> None:
    before, after = first(roster(a=1, b=1, c=1)), first(roster(a=1, b=1, c=2))
    assert {after[context] for context in CONTEXTS if before[context] != after[context]} == {"c"}


def test_what_one_leaves_is_shared_as_the_others_share() -> None:
    whole = roster(a=2, b=1, c=3)
    left = Counter(whole.order(context)[1] for context in CONTEXTS if whole.order(context)[0] == "c")
    assert abs(left["a"] / left.total() - 2 / 3) < 0.05


def test_the_order_of_tables_decides_nothing() -> None:
    assert first(roster(a=1, b=2)) == first(roster(b=2, a=1))


def test_the_assignment_is_what_it_was() -> None:
    """A change of it would ask other teachers for what is in everybody's ledger."""
    digest = sha256("".join(first(roster(a=1, b=2, c=0.5)).values()).encode()).hexdigest()
    assert digest == "a1742b8e238dcc00485eaaed8bca62a24391dc39617331523619055bc639ebe2"


@given(st.integers(1, 2**64))
def test_the_logarithm_in_whole_numbers_is_that_of_the_number(number: int) -> None:
    assert _log2(number) / 2**FRACTION_BITS == pytest.approx(math.log2(number), abs=2e-8)


# ── in a recipe ──

SEVERAL = """
[[teachers]]
model = "openai:a"
temperature = 0.5
concurrency = 7
[[teachers]]
model = "openai:b"
share = 3
requests_per_minute = 60
"""


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(RecipeError) as caught:
        models_of(load_with(folder, options), options.get("teacher"), None)
    return caught.value.what.replace(str(folder), "DIR")


def test_a_recipe_names_several_teachers_each_with_settings_of_its_own(tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path, {"recipe.toml": RECIPE + SEVERAL}))
    models = models_of(recipe, None, None)
    assert [teacher.model for teacher in models.teachers] == ["openai:a", "openai:b"]
    assert models.roster.shares == {"openai:a": 0.25, "openai:b": 0.75}
    assert [writer.sampling(1).temperature for writer in models.roster.writers] == [0.5, None]
    assert models.at_once(recipe) == {"openai:a": 7}
    assert [teacher.max_in_flight for teacher in models.teachers] == [7, MOST_AT_ONCE]
    assert models.judge is None


def test_one_teacher_is_as_before(tmp_path: Path) -> None:
    models = models_of(load(small_recipe(tmp_path)), None, None)
    assert [teacher.model for teacher in models.teachers] == ["rehearsal-teacher"]
    assert models.roster.order("c-1") == ("rehearsal-teacher",)
    assert models.judge is not None


def test_teachers_that_are_named_replace_the_recipes_and_keep_their_tables(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path, {"recipe.toml": RECIPE + SEVERAL})
    one = load_with(folder, {"teacher": "openai:a"})
    assert [(t.model, t.temperature, t.share) for t in one.teachers] == [("openai:a", 0.5, 1.0)]
    two = load_with(folder, {"teacher": ("openai:b", "openai:c")})
    assert [(t.model, t.requests_per_minute, t.share) for t in two.teachers] == [
        ("openai:b", 60.0, 1.0),
        ("openai:c", None, 1.0),
    ]
    assert len(load_with(folder, {"teacher": ()}).teachers) == 2


@pytest.mark.parametrize(
    ("settings", "options", "what"),
    [
        (
            '[teacher]\nmodel = "rehearsal"\n' + SEVERAL,
            {},
            "DIR/recipe.toml: [teacher] and [[teachers]] both say who writes",
        ),
        (
            '[[teachers]]\nmodel = "openai:a"\n' * 2,
            {},
            "DIR/recipe.toml: teachers names the model 'openai:a' twice",
        ),
        (
            "",
            {"teacher": ["openai:a@http://127.0.0.1:1/v1", "openai:a@http://127.0.0.1:2/v1"]},
            "two of the teachers are 'openai:a'",
        ),
        (
            SEVERAL + "[selection]\nteacher_cap = 0.4\n",
            {},
            "DIR/recipe.toml: selection.teacher_cap = 0.4, with 2 teachers",
        ),
        (
            SEVERAL.replace("openai:b", "openai:qwen") + '[judge]\nmodel = "openai:qwen-b"',
            {},
            "the judge 'openai:qwen-b' and the teacher 'openai:qwen' are of one family (qwen)",
        ),
        (
            SEVERAL + "[budget]\nusd = 1.0\n",
            {},
            "--budget 1 USD is set, and the price of 'openai:a' is not known",
        ),
        ("[[teachers]]\nshare = 0\n", {}, "DIR/recipe.toml: teachers.0.share = 0"),
    ],
)
def test_what_several_teachers_cannot_mean_is_refused(
    tmp_path: Path, settings: str, options: dict[str, object], what: str
) -> None:
    assert refusal(small_recipe(tmp_path, {"recipe.toml": RECIPE + settings}), **options) == what
