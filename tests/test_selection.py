"""The selection: quotas, caps, likeness and bad input, on frames that a reader can check."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.content import unit_vectors
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.exchange import swap_in
from thousandfold.gen.feasibility import PENALTY, feasible, level_prices
from thousandfold.gen.greedy import Caps, fill
from thousandfold.gen.neighbours import COMPILED_FROM, nearest
from thousandfold.gen.objective import Objective, coded_levels
from thousandfold.gen.recipe import load
from thousandfold.gen.selection import quota_targets, select, select_exemplars
from thousandfold.gen.tables import MESSAGES, SELECTION

from ._recipes import RECIPE, RESPECT, small_recipe

AXES = {"domain": 12, "stance": 8, "kind": 5, "stakes": 4}


def pool(rows: int, *, seed: int = 0) -> pl.DataFrame:
    """`id`, `quality`, skewed axes and an embedding in clusters, drawn the same in every run."""
    dice = random.Random(seed)
    centres = [[dice.gauss(0, 1) for _ in range(8)] for _ in range(20)]
    columns: dict[str, list[Any]] = {"id": [], "quality": [], "vector": [], **{axis: [] for axis in AXES}}
    for row in range(rows):
        columns["id"].append(f"d{row}")
        columns["quality"].append(round(dice.random(), 3))
        columns["vector"].append([x + dice.gauss(0, 0.3) for x in dice.choice(centres)])
        for axis, levels in AXES.items():
            columns[axis].append(f"{axis}{min(int(dice.expovariate(3 / levels)), levels - 1)}")
    return pl.DataFrame(columns)


def chosen_ids(frame: pl.DataFrame, **arguments: Any) -> list[str]:
    return select(frame, quality="quality", **arguments).frame["id"].to_list()


def of(**columns: Sequence[Any]) -> pl.DataFrame:
    count = len(next(iter(columns.values())))
    return pl.DataFrame({"id": [f"d{i}" for i in range(count)], **columns})


def test_it_is_a_name_of_the_library() -> None:
    assert gen.select is select
    assert gen.Selection.__doc__ is not None


def test_with_quality_alone_the_best_come_first() -> None:
    assert chosen_ids(of(quality=[0.2, 0.9, 0.5, 0.7]), size=3) == ["d1", "d3", "d2"]


def test_likeness_prefers_a_poorer_row_that_is_unlike_the_others() -> None:
    frame = of(quality=[0.9, 0.8, 0.4], vector=[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    chosen = select(frame, size=2, quality="quality", embedding="vector")
    assert set(chosen.frame["id"]) == {"d0", "d2"} or set(chosen.frame["id"]) == {"d1", "d2"}
    assert "unlike what is there" in chosen.frame["reason"].to_list()


def test_texts_are_embedded_by_their_words() -> None:
    texts = [
        "The roof over the kitchen leaks when it rains in autumn",
        "The roof over the kitchen leaks when it rains in winter",
        "A soprano sings flat in every rehearsal of the choir",
    ]
    chosen = chosen_ids(of(quality=[0.5, 0.5, 0.2], text=texts), size=2, text="text")
    assert "d2" in chosen


def test_quotas_are_met_against_quality() -> None:
    frame = of(quality=[1.0, 0.9, 0.8, 0.1], domain=["law", "law", "law", "farm"])
    chosen = select(frame, size=2, quality="quality", quotas={"domain": {"farm": 1}})
    assert chosen.frame["id"].to_list() == ["d3", "d0"]
    assert chosen.frame["reason"].to_list() == ["fills domain = farm", "quality"]
    assert chosen.shortfalls.is_empty()


@pytest.mark.parametrize("seed", range(4))
def test_quotas_of_four_fifths_of_what_some_rows_hold_are_met_on_every_axis(seed: int) -> None:
    frame = pool(400, seed=seed)
    some = frame.sample(100, seed=seed)
    quotas = {axis: {str(x): int(0.8 * n) for x, n in Counter(some[axis]).items()} for axis in AXES}
    chosen = select(frame, size=100, quality="quality", embedding="vector", quotas=quotas)
    assert sum(sum(wanted.values()) for wanted in quotas.values()) > 250
    assert chosen.shortfalls.is_empty()
    assert chosen.frame.height == 100
    for axis, wanted in quotas.items():
        got = Counter(chosen.frame[axis])
        assert all(got[level] >= n for level, n in wanted.items())
    assert chosen.certificate >= 0.75


@pytest.mark.parametrize("seed", range(3))
def test_quotas_without_a_place_to_spare_on_any_axis_are_met(seed: int) -> None:
    frame = pool(200, seed=seed)
    some = frame.sample(60, seed=seed + 1)
    quotas = {axis: {str(x): n for x, n in Counter(some[axis]).items()} for axis in AXES}
    chosen = select(frame, size=60, quality="quality", embedding="vector", quotas=quotas)
    assert chosen.shortfalls.is_empty()
    assert {axis: dict(Counter(chosen.frame[axis])) for axis in AXES} == quotas
    assert sum(chosen.frame["gain"]) == pytest.approx(chosen.objective)
    assert chosen.frame["id"].n_unique() == 60


def test_exchanges_between_cells_keep_the_caps_and_leave_open_what_cannot_be_filled() -> None:
    frame = pool(200, seed=4).with_columns(family=pl.Series([f"f{row % 5}" for row in range(200)]))
    some = frame.sample(60, seed=2)
    most = Counter(some["family"])
    quotas = {axis: {str(x): n for x, n in Counter(some[axis]).items()} for axis in AXES}
    chosen = select(frame, size=60, quality="quality", quotas=quotas, caps={"family": dict(most)})
    assert chosen.shortfalls.is_empty()
    assert Counter(chosen.frame["family"]) <= most
    assert "exchanged in to meet the quotas" in chosen.frame["reason"].to_list()


def test_compiled_and_plain_loops_choose_the_same_rows_for_the_same_reasons() -> None:
    frame = pool(900, seed=3)
    levels = {axis: frame[axis].to_list() for axis in AXES}
    quotas = {axis: {f"{axis}{code}": 6 for code in range(size)} for axis, size in AXES.items()}
    worth = np.rint(frame["quality"].to_numpy() * 1e6).astype(np.int64)
    objective = Objective(worth, unit_vectors(frame["vector"]), levels, quotas)
    caps: dict[str, float | dict[str, float]] = {"domain": {"domain0": 9}, "kind": 0.4}
    plain = fill(objective, 90, Caps(frame, caps, 90), compiled=False)
    compiled = fill(objective.fresh(), 90, Caps(frame, caps, 90), compiled=True)
    assert len(plain.rows) == 90
    assert compiled == plain


def test_compiled_and_plain_loops_find_the_same_neighbours() -> None:
    vectors = unit_vectors(pool(3_500)["vector"])
    found = nearest(vectors, 24, exact=True)
    products = vectors.astype(np.int64) @ vectors.astype(np.int64).T
    assert len(vectors) > COMPILED_FROM
    for row in range(0, 3_500, 50):
        expected = np.lexsort((np.arange(3_500), -products[row]))[:24]
        assert found.rows[row].tolist() == expected.tolist()


def test_inverted_lists_find_most_true_neighbours_and_cut_a_list_of_equal_rows() -> None:
    vectors = unit_vectors(pool(9_000)["vector"])
    found, true = nearest(vectors, 24, exact=False), nearest(vectors, 24, exact=True)
    assert np.take_along_axis(found.dots, np.zeros((9_000, 1), int), 1).min() > 0
    assert found.dots.sum() >= 0.97 * true.dots.sum()
    same = nearest(np.tile(vectors[:1], (9_000, 1)), 24, exact=False)
    assert (same.dots == same.dots[0, 0]).all()


def test_a_quota_past_the_cap_of_its_level_is_refused() -> None:
    frame = of(quality=[0.5] * 9, domain=["law"] * 5 + ["farm"] * 4)
    with pytest.raises(RecipeError) as caught:
        select(frame, size=8, quality="quality", quotas={"domain": {"law": 3}}, caps={"domain": {"law": 0.25}})
    assert caught.value.what == "the quota of domain = 'law' is 3, and its cap is 2"
    assert caught.value.do == "lower the quota to 2, or raise the cap to 3"


def test_two_hundred_axes_and_one_of_a_single_level_are_served() -> None:
    dice = random.Random(1)
    axes = {f"a{number}": [dice.choice("pqr") for _ in range(60)] for number in range(200)}
    frame = of(quality=[0.5] * 60, one=["only"] * 60, **axes)
    quotas = {axis: dict.fromkeys("pqr", 6) for axis in axes} | {"one": {"only": 30}}
    chosen = select(frame, size=30, quality="quality", quotas=quotas)
    assert chosen.frame.height == 30
    assert sum(wanted - got for _, _, wanted, got in chosen.shortfalls.iter_rows()) < 200


def test_prices_by_columns_added_in_steps_are_those_of_the_whole_programme(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pool(1_500, seed=6)
    levels = {axis: frame[axis].to_list() for axis in AXES}
    quotas = {axis: {f"{axis}{code}": 150 // size for code in range(size)} for axis, size in AXES.items()}
    coded = {axis: coded_levels(values) for axis, values in levels.items()}
    whole = feasible(frame["quality"].to_numpy(), coded, quotas, 150)
    monkeypatch.setattr("thousandfold.gen.feasibility._AT_ONCE", 40)
    stepwise = feasible(frame["quality"].to_numpy(), coded, quotas, 150)
    assert stepwise.missing == pytest.approx(whole.missing, abs=1e-6)
    assert stepwise.optimum == pytest.approx(whole.optimum, rel=1e-9)
    assert whole.optimum > 100


def test_a_quota_that_cannot_be_met_is_a_shortfall_with_the_highest_price() -> None:
    frame = of(quality=[1.0, 0.5, 0.5], domain=["law", "law", "farm"])
    quotas = {"domain": {"farm": 2, "sea": 1}}
    chosen = select(frame, size=3, quality="quality", quotas=quotas)
    assert chosen.shortfalls.rows() == [("domain", "farm", 2, 1), ("domain", "sea", 1, 0)]
    assert chosen.prices.rows() == [("domain", "farm", PENALTY), ("domain", "sea", PENALTY)]


def test_a_quota_that_costs_quality_has_a_price_and_one_that_is_met_anyway_has_none() -> None:
    worth = np.array([0.9, 0.9, 0.9, 0.1, 0.1])
    levels = {"domain": ["law", "law", "law", "farm", "farm"]}
    prices = level_prices(worth, levels, {"domain": {"law": 1, "farm": 1}}, 3)
    assert prices == [("domain", "law", 0.0), ("domain", "farm", pytest.approx(0.8))]
    assert level_prices(worth, levels, {}, 3) == []
    assert level_prices(worth[:0], {"domain": []}, {"domain": {"law": 1, "farm": 0}}, 0) == [
        ("domain", "law", PENALTY),
        ("domain", "farm", 0.0),
    ]


def test_levels_may_be_numbers() -> None:
    frame = of(quality=[1.0, 0.9, 0.1], year=[2024, 2024, 2025])
    quotas: Any = {"year": {2025: 1}}
    assert select(frame, size=1, quality="quality", quotas=quotas).frame["year"].to_list() == [2025]


CAPPED = of(
    quality=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
    family=["a", "a", "a", "b", "b", None],
    teacher=["x", "y", "x", "y", "x", "y"],
)


@pytest.mark.parametrize(
    ("caps", "size", "expected"),
    [
        ({"family": 1}, 4, ["d0", "d3", "d5"]),
        ({"family": 0.5}, 4, ["d0", "d1", "d3", "d4"]),
        ({"family": {"a": 1}}, 4, ["d0", "d3", "d4", "d5"]),
        ({"family": {"a": 0}}, 2, ["d3", "d4"]),
        ({"family": 0}, 4, ["d5"]),
        ({"family": 2, "teacher": {"x": 1}}, 4, ["d0", "d1", "d3", "d5"]),
        ({"family": {"nobody": 1}}, 2, ["d0", "d1"]),
        ({"teacher": 1.0}, 2, ["d0", "d1"]),
    ],
)
def test_a_cap_is_a_count_or_a_share_of_the_size_and_null_is_no_value(
    caps: Mapping[str, Any], size: int, expected: list[str]
) -> None:
    assert chosen_ids(CAPPED, size=size, caps=caps) == expected


def test_a_share_that_comes_to_a_whole_number_of_rows_is_that_number() -> None:
    frame = of(quality=[0.5] * 100, family=["a"] * 50 + ["b"] * 50)
    assert 0.29 * 100 < 29
    got = Counter(select(frame, size=100, quality="quality", caps={"family": {"a": 0.29}}).frame["family"])
    assert got == {"a": 29, "b": 50}


def test_the_bound_counts_rows_that_a_cap_passed_over() -> None:
    # Greedy takes d0, after which the cap forbids d1; the best pair is d1 and d2, whose worth the bound must reach.
    frame = of(quality=[1.0, 0.5, 0.25], family=["x", "x", None], domain=["law", "farm", "law"])
    worth = np.array([1_000_000, 500_000, 250_000])
    objective = Objective(worth, None, {"domain": frame["domain"].to_list()}, {"domain": {"law": 1, "farm": 1}})
    limits = Caps(frame, {"family": 1}, 2)
    chosen = fill(objective, 2, limits)
    assert (chosen.rows, chosen.value) == ([0, 2], 5_250_000)
    assert chosen.upper_bound >= 8_750_000
    swap_in(objective, chosen, limits)
    assert (chosen.rows, chosen.value, sum(chosen.gains)) == ([2, 1], 8_750_000, 8_750_000)
    assert chosen.reasons == ["fills domain = law", "exchanged in for domain = farm"]
    assert chosen.upper_bound >= 8_750_000
    assert not limits.allows(0)
    assert limits.allows(0, instead_of=1)
    limits.remove(1)
    assert limits.allows(0)


def test_an_exchange_never_swaps_a_level_for_itself() -> None:
    # farm lacks one place that nothing outside can fill without opening another: nothing may move.
    frame = of(quality=[0.1, 0.9, 0.9], a=["p", "p", "q"], b=["r", "r", "s"])
    objective = Objective(
        np.array([100_000, 900_000, 900_000]),
        None,
        {"a": frame["a"].to_list(), "b": frame["b"].to_list()},
        {"a": {"p": 2, "z": 0}, "b": {"r": 1, "s": 1}},
    )
    limits = Caps(frame, {}, 2)
    chosen = fill(objective, 2, limits)
    before = (list(chosen.rows), chosen.value)
    swap_in(objective, chosen, limits)
    assert (chosen.rows, chosen.value) == before


def test_null_and_nan_quality_is_not_selectable() -> None:
    frame = of(quality=[None, 0.3, float("nan"), 0.1])
    assert chosen_ids(frame, size=4) == ["d1", "d3"]


@pytest.mark.parametrize(
    "frame",
    [
        of(quality=[None, None], domain=["law", "farm"], text=["a", "b"], vector=[[1.0], [2.0]]),
        pl.DataFrame(
            schema={
                "id": pl.String,
                "quality": pl.Float64,
                "domain": pl.String,
                "text": pl.String,
                "vector": pl.List(pl.Float64),
            }
        ),
    ],
    ids=["all null", "no rows"],
)
@pytest.mark.parametrize("likeness", [{}, {"text": "text"}, {"embedding": "vector"}])
def test_nothing_selectable_is_an_empty_selection_that_says_so(frame: pl.DataFrame, likeness: dict[str, str]) -> None:
    chosen = select(frame, size=3, quality="quality", quotas={"domain": {"law": 1}}, **likeness)  # type: ignore[arg-type]
    assert chosen.frame.is_empty()
    assert chosen.frame.columns == [*frame.columns, "gain", "reason"]
    assert (chosen.certificate, chosen.objective) == (1.0, 0.0)
    assert chosen.shortfalls.rows() == [("domain", "law", 1, 0)]


def test_with_fewer_candidates_than_asked_for_all_come_back() -> None:
    frame = pool(7)
    chosen = select(frame, size=20, quality="quality", embedding="vector", quotas={"domain": {"domain0": 12}})
    assert sorted(chosen.frame["id"]) == sorted(frame["id"])
    assert chosen.shortfalls["wanted"].to_list() == [12]
    assert chosen.certificate == 1.0


def test_rows_that_are_all_identical_are_as_good_as_each_other() -> None:
    frame = of(quality=[0.5] * 60, vector=[[1.0, 2.0, 3.0]] * 60, domain=["law"] * 60)
    chosen = select(frame, size=10, quality="quality", embedding="vector", quotas={"domain": {"law": 10}})
    assert chosen.frame.height == 10
    assert chosen.shortfalls.is_empty()
    assert chosen.objective == pytest.approx(10 * (0.5 + 4) + chosen.frame["gain"][0] - 4.5, abs=1e-9)


def test_the_order_of_rows_decides_nothing_where_likeness_has_many_ties() -> None:
    dice = random.Random(5)
    vectors = [[dice.choice([-1.0, 1.0]) for _ in range(3)] for _ in range(120)]
    frame = of(quality=[dice.choice([0.2, 0.4]) for _ in range(120)], vector=vectors, domain=dice.choices("abc", k=120))
    arguments: dict[str, Any] = {
        "size": 30,
        "quality": "quality",
        "embedding": "vector",
        "quotas": {"domain": {"a": 9}},
    }
    first = select(frame, **arguments)
    for seed in range(3):
        again = select(frame.sample(fraction=1, shuffle=True, seed=seed), **arguments)
        assert again.frame.equals(first.frame)
        assert (again.objective, again.certificate) == (first.objective, first.certificate)


def test_columns_of_any_kind_may_stand_in_the_frame() -> None:
    frame = of(
        quality=[0.1, 0.2], blob=[b"\xff", None], when=[datetime(2026, 1, 1, tzinfo=UTC), None], deep=[[{"a": 1}], []]
    )
    frame = frame.with_columns(
        thing=pl.Series([object(), None], dtype=pl.Object), kind=pl.Series(["x", "y"], dtype=pl.Categorical)
    )
    assert chosen_ids(frame, size=2, quotas={"kind": {"x": 1}}) == ["d0", "d1"]


def test_the_seed_decides_between_equals_and_nothing_else() -> None:
    ties = of(quality=[0.5] * 30)
    picks = {seed: chosen_ids(ties, size=5, seed=seed) for seed in range(3)}
    assert picks[0] != picks[1] != picks[2]
    clear = of(quality=[i / 100 for i in range(30)])
    assert chosen_ids(clear, size=5, seed=0) == chosen_ids(clear, size=5, seed=7) == ["d29", "d28", "d27", "d26", "d25"]


def test_list_and_array_embeddings_of_any_length_and_number_type_are_one() -> None:
    frame = pool(60)
    expected = chosen_ids(frame, size=12, embedding="vector")
    array = frame.with_columns(pl.col("vector").cast(pl.Array(pl.Float64, 8)))
    longer = frame.with_columns(pl.col("vector").list.eval(pl.element() * 1e200))
    assert chosen_ids(array, size=12, embedding="vector") == expected
    assert chosen_ids(longer, size=12, embedding="vector") == expected
    whole = frame.with_columns(pl.col("vector").list.eval((pl.element() * 1000).round().cast(pl.Int32)))
    assert set(chosen_ids(whole, size=12, embedding="vector")) >= set(expected[:3])


def test_an_embedding_of_zeros_is_like_nothing_and_does_no_harm() -> None:
    frame = of(quality=[0.5, 0.4, 0.3], vector=[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert sorted(chosen_ids(frame, size=2, embedding="vector")) == ["d1", "d2"]


def test_nearest_is_exact_and_ties_go_to_the_lower_row() -> None:
    dice = np.random.default_rng(3)
    vectors = dice.integers(-3, 4, (90, 6)).astype(np.int8)
    near, dots = nearest(vectors, 5)
    products = vectors.astype(int) @ vectors.astype(int).T
    for row in range(90):
        expected = sorted(range(90), key=lambda other: (-products[row, other], other))[:5]
        assert sorted(near[row]) == sorted(expected)
        assert dots[row].tolist() == [products[row, other] for other in near[row]]


def test_a_prefix_is_the_smaller_selection_and_gains_only_fall() -> None:
    frame = pool(150)
    large = select(frame, size=60, quality="quality", embedding="vector")
    assert large.frame.head(15).equals(select(frame, size=15, quality="quality", embedding="vector").frame)
    gains = large.frame["gain"].to_list()
    assert gains == sorted(gains, reverse=True)
    assert sum(gains) == pytest.approx(large.objective)


def test_lazy_greedy_looks_at_few_rows_again_when_there_are_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    honest = Objective.gain

    def counted(self: Objective, row: int) -> int:
        nonlocal looks
        looks += 1
        return honest(self, row)

    monkeypatch.setattr(Objective, "gain", counted)
    monkeypatch.setattr("thousandfold.gen.greedy.COMPILED_FROM", 10_000)
    counts = {}
    for rows in (500, 4_000):
        looks = 0
        select(pool(rows), size=rows // 10, quality="quality", embedding="vector", quotas={"domain": {"domain3": 9}})
        counts[rows] = looks
    assert counts[4_000] <= 12 * counts[500]
    assert counts[4_000] <= 30 * 4_000, "greedy without the heap would need 1.5 million"


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.test_selection import chosen_ids, pool
frame = pool(300)
print(",".join(chosen_ids(frame, size=60, embedding="vector", quotas={"domain": {"domain5": 5}})))
"""


def test_another_process_with_a_single_thread_chooses_the_same() -> None:
    alone = dict.fromkeys(("PYTHONHASHSEED", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    env = {**os.environ, **alone}
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root)], env=env, capture_output=True, text=True, check=True
    )
    expected = chosen_ids(pool(300), size=60, embedding="vector", quotas={"domain": {"domain5": 5}})
    assert done.stdout.strip() == ",".join(expected)


VALID: dict[str, Any] = {"size": 2, "quality": "quality"}


@pytest.mark.parametrize(
    ("arguments", "what", "do"),
    [
        ({"size": 0}, "size = 0", "give a size of 1 or more"),
        ({"size": True}, "size = True", "give a size of 1 or more"),
        ({"quotas": ["domain"]}, "quotas is ['domain']", 'write quotas={"domain": {"law": 40}}'),
        ({"quotas": {"domain": 3}}, "quotas is {'domain': 3}", 'write quotas={"domain": {"law": 40}}'),
        (
            {"quotas": {"domain": {"law": True}}},
            "the quota of domain = 'law' is True",
            "give a whole number, 0 or more",
        ),
        ({"caps": ["domain"]}, "caps is ['domain']", 'write caps={"opening": 0.05, "teacher": {"a": 600}}'),
        (
            {"caps": {"domain": "x"}},
            "the cap of 'domain' is 'x'",
            "give a whole number, 0 or more, or a share from 0.0 to 1.0",
        ),
        (
            {"caps": {"domain": None}},
            "the cap of 'domain' is None",
            "give a whole number, 0 or more, or a share from 0.0 to 1.0",
        ),
        (
            {"caps": {"domain": True}},
            "the cap of 'domain' is True",
            "give a whole number, 0 or more, or a share from 0.0 to 1.0",
        ),
        (
            {"caps": {"domain": {"law": None}}},
            "the cap of 'domain' is None",
            "give a whole number, 0 or more, or a share from 0.0 to 1.0",
        ),
        ({"seed": "x"}, "seed is 'x'", "give a whole number"),
        ({"size": 1.5}, "size = 1.5", "give a size of 1 or more"),
        (
            {"quality": "score"},
            "quality names the column 'score', which the frame does not have",
            "use one of id, quality, text, domain, vector, ragged, holes, words",
        ),
        (
            {"quotas": {"mood": {"calm": 1}}},
            "quotas names the column 'mood', which the frame does not have",
            "use one of id, quality, text, domain, vector, ragged, holes, words",
        ),
        (
            {"caps": {"mood": 1}},
            "caps names the column 'mood', which the frame does not have",
            "use one of id, quality, text, domain, vector, ragged, holes, words",
        ),
        (
            {"quality": "text"},
            "quality names the column 'text' of type String",
            "cast or score the column first",
        ),
        (
            {"text": "text", "embedding": "vector"},
            "both text = 'text' and embedding = 'vector' are given",
            "give one",
        ),
        (
            {"text": "vector"},
            "text names the column 'vector' of type List(Float64)",
            "take the value out into a column of its own",
        ),
        (
            {"embedding": "text"},
            "embedding names the column 'text' of type String",
            "give an Array or List column of numbers, or name a column of strings as text",
        ),
        (
            {"embedding": "words"},
            "embedding names the column 'words' of type List(String)",
            "give an Array or List column of numbers, or name a column of strings as text",
        ),
        (
            {"embedding": "ragged"},
            "the embedding 'ragged' has rows of 1, 2, None numbers",
            "embed every row with one model, and leave out rows that have none",
        ),
        (
            {"embedding": "holes"},
            "the embedding 'holes' has a row with a null, a NaN or an infinity",
            "embed that row again, or leave it out",
        ),
        (
            {"quotas": {"domain": {"law": 2, "farm": 1}}},
            "the quotas of 'domain' sum to 3, past the size 2",
            "lower them to 2 in all, or ask for a size of 3",
        ),
        (
            {"quotas": {"domain": {"law": 0.5}}},
            "the quota of domain = 'law' is 0.5",
            "give a whole number, 0 or more",
        ),
        (
            {"quotas": {"domain": {"law": -1}}},
            "the quota of domain = 'law' is -1",
            "give a whole number, 0 or more",
        ),
        (
            {"caps": {"domain": 600.0}},
            "the cap of 'domain' is 600.0",
            "give a whole number, 0 or more, or a share from 0.0 to 1.0",
        ),
        (
            {"caps": {"domain": {"law": float("nan")}}},
            "the cap of 'domain' is nan",
            "give a whole number, 0 or more, or a share from 0.0 to 1.0",
        ),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments: Mapping[str, Any], what: str, do: str) -> None:
    frame = pl.DataFrame(
        {
            "id": ["a", "b", "c"],
            "quality": [0.1, 0.2, 0.3],
            "text": ["x", "y", "z"],
            "domain": ["law", "law", "farm"],
            "vector": [[1.0], [2.0], [3.0]],
            "ragged": [[1.0], [1.0, 2.0], None],
            "holes": [[1.0], [float("nan")], [2.0]],
            "words": [["x"], ["y"], ["z"]],
        }
    )
    with pytest.raises(RecipeError) as caught:
        select(frame, **{**VALID, **arguments})
    assert (caught.value.what, caught.value.do) == (what, do)
    assert caught.value.why


def test_rows_that_are_not_there_yet_are_not_chosen_from() -> None:
    with pytest.raises(RecipeError, match="frame is a LazyFrame"):
        select(of(quality=[0.5]).lazy(), size=1, quality="quality")  # type: ignore[arg-type]


def test_a_limit_or_a_quota_finds_its_value_by_itself_or_by_its_text() -> None:
    frame = of(quality=[0.9, 0.8, 0.7, 0.6], year=[2024, 2024, 2024, 2025], good=[True, True, True, False])
    years: tuple[Any, Any] = (2024, "2024")
    for key in years:
        chosen = select(frame, size=2, quality="quality", caps={"year": {key: 1}})
        assert chosen.frame["year"].to_list() == [2024, 2025]
    levels: tuple[Any, Any] = (2025, "2025")
    for level in levels:
        chosen = select(frame, size=2, quality="quality", quotas={"year": {level: 1}})
        assert sorted(chosen.frame["year"]) == [2024, 2025]
    bad: Any = False
    assert select(frame, size=2, quality="quality", quotas={"good": {bad: 1}}).shortfalls.is_empty()


@pytest.mark.parametrize(("values", "said"), [([0.5, 1.2], "0.5 to 1.2"), ([-0.1, 0.3], "-0.1 to 0.3")])
def test_quality_outside_its_range_is_refused_with_its_range(values: list[float], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        select(of(quality=values), size=1, quality="quality")
    assert caught.value.what == f"quality ranges from {said} in 'quality'"


def exemplar_pool(count: int, levels: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    dice = random.Random(2)
    rows = [
        {
            "id": f"d{i}",
            "messages": [
                {"role": "user", "content": "?"},
                {
                    "role": "assistant",
                    "content": f"{chr(97 + i % 26)} {chr(97 + i // 26)} answers number{i} word{i % 7}",
                },
            ],
            "_quality": dice.random(),
            **{axis: dice.choice(known) for axis, known in levels.items()},
        }
        for i in range(count)
    ]
    schema: dict[str, Any] = {"id": pl.String, "messages": MESSAGES, "_quality": pl.Float64}
    schema |= dict.fromkeys(levels, pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_exemplars_come_with_their_own_columns_and_every_quota_that_the_recipe_implies() -> None:
    recipe = load(RESPECT, {"size": 60})
    candidates = exemplar_pool(240, recipe.train_levels)
    chosen = select_exemplars(candidates, recipe)
    assert chosen.frame.columns == [*candidates.columns, "gain", "reason"]
    assert chosen.frame.height == 60
    assert chosen.shortfalls.is_empty()
    for axis, wanted in quota_targets(recipe).items():
        got = Counter(chosen.frame[axis])
        assert all(got[level] >= count for level, count in wanted.items()), axis
    table = chosen.table(candidates)
    assert dict(table.schema) == dict(SELECTION)
    assert table["id"].to_list() == candidates["id"].to_list()
    assert table.filter("selected").sort("rank")["id"].to_list() == chosen.frame["id"].to_list()
    assert table.filter(~pl.col("selected")).select("rank", "gain", "reason").null_count().row(0) == (180, 180, 180)


def test_quotas_are_a_share_of_the_even_part_and_the_rest_of_the_axis_makes_room_for_own_ones(tmp_path: Path) -> None:
    own = "[selection.quotas.domain]\nlaw = 14\n"
    recipe = load(small_recipe(tmp_path, {"recipe.toml": RECIPE + own}))
    assert quota_targets(recipe) == {
        "domain": {"law": 14, "farm": 1, "school": 1},  # 0.6 of (20 - 14) / 2
        "tone": {"calm": 6, "angry": 6},  # 0.6 of 20 / 2
        "facet": {"candour": 12},
    }


def test_quotas_that_the_recipe_accepts_never_sum_past_the_size(tmp_path: Path) -> None:
    for number, law in enumerate((0, 7, 19, 20)):
        own = f"[selection.quotas.domain]\nlaw = {law}\n[selection]\nquota_share = 1.0\n"
        recipe = load(small_recipe(tmp_path / str(number), {"recipe.toml": RECIPE + own}))
        assert all(sum(wanted.values()) <= 20 for wanted in quota_targets(recipe).values())


def test_sealed_levels_have_no_quota() -> None:
    assert set(quota_targets(load(RESPECT))["domain"]) == set(load(RESPECT).train_levels["domain"])
