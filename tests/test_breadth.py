"""Measures of breadth, each against a second way to compute it, and what is said of them in a release."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections import Counter
from io import StringIO
from itertools import combinations, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from thousandfold import gen
from thousandfold.filters import same_meaning
from thousandfold.filters.embed import embed
from thousandfold.gen.breadth import DIVERSITY, DRAWS, MEASURES
from thousandfold.gen.breadth_report import COLUMNS, card_section, diversity_table
from thousandfold.gen.content import content_order
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.variety import IDEA_COSINE

from ._recipes import RESPECT

AXES = {"domain": ["law", "trade", "care"], "tone": ["warm", "dry"], "stakes": ["low", "high"]}
SENTENCE = "when you said that the roof would hold I believed it and told her so before anyone had looked at it twice"


def written(count: int, *, seed: int = 0) -> pl.DataFrame:
    """`answer`, one column per axis and a `vector` in a few clusters; some answers are nearly others."""
    dice = random.Random(seed)
    texts: list[str] = []
    words = SENTENCE.split()
    for _ in range(count):
        if texts and dice.random() < 0.3:
            texts.append(dice.choice(texts) + " " + dice.choice(words))
        else:
            texts.append(" ".join(dice.choices(words, k=dice.randint(12, 40))))
    centres = [[dice.gauss(0, 1) for _ in range(8)] for _ in range(6)]
    vectors = [[x + dice.gauss(0, 0.3) for x in dice.choice(centres)] for _ in range(count)]
    levels = {axis: [dice.choice(known) for _ in range(count)] for axis, known in AXES.items()}
    return pl.DataFrame({"answer": texts, "vector": vectors, **levels})


def one(frame: pl.DataFrame, of: str = "selected", **arguments: object) -> dict[str, float]:
    found = gen.diversity(frame, **arguments).filter(pl.col("of") == of)  # type: ignore[arg-type]
    return found.row(-1, named=True)


def unit(frame: pl.DataFrame) -> npt.NDArray[np.float64]:
    vectors = embed(frame["answer"].to_list()).astype(np.float64)
    unit_length: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit_length


def test_vendi_and_rke_are_those_of_the_matrix_of_all_cosines() -> None:
    frame = written(60)
    for columns, vectors in (("text", unit(frame)), ("embedding", np.array(frame["vector"].to_list()))):
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        spectrum = np.linalg.eigvalsh(vectors @ vectors.T / len(vectors))
        spectrum = spectrum[spectrum > 1e-12]
        found = one(frame, **{columns: "answer" if columns == "text" else "vector"})
        assert found["vendi"] == pytest.approx(np.exp(-(spectrum * np.log(spectrum)).sum()), rel=1e-5)
        assert found["rke"] == pytest.approx(1 / (spectrum**2).sum(), rel=1e-5)


def test_equal_rows_are_one_and_rows_at_right_angles_are_as_many() -> None:
    same = pl.DataFrame({"vector": [[0.0, 3.0]] * 5})
    apart = pl.DataFrame({"vector": np.eye(4).tolist()})
    found = one(same, embedding="vector")
    assert found["vendi"] == pytest.approx(1)
    assert found["ideas"] == 1
    assert found["nearest_median"] == 0
    found = one(apart, embedding="vector")
    assert (found["vendi"], found["rke"], found["ideas"]) == pytest.approx((4, 4, 4))
    assert found["nearest_median"] == pytest.approx(1)


def test_coverage_is_that_of_a_count_by_hand() -> None:
    frame = written(9)
    forbid = {"domain": "law", "tone": "dry"}
    found = one(frame.filter(~((pl.col("domain") == "law") & (pl.col("tone") == "dry"))), axes=AXES, forbid=[forbid])
    rows = [row for row in frame.select(list(AXES)).iter_rows(named=True) if not forbid.items() <= row.items()]
    cells = [dict(zip(AXES, cell, strict=True)) for cell in product(*AXES.values())]
    allowed = [cell for cell in cells if not forbid.items() <= cell.items()]
    for strength, name in ((1, "levels"), (2, "pairs"), (3, "triples")):
        met, possible = (
            {(axes, tuple(row[axis] for axis in axes)) for row in some for axes in combinations(AXES, strength)}
            for some in (rows, allowed)
        )
        assert found[name] == pytest.approx(len(met) / len(possible), abs=1e-6)


def test_words_are_counted_as_by_hand() -> None:
    frame = written(40)
    found = one(frame, text="answer")
    words = [re.findall(r"\w+", text.lower()) for text in frame["answer"]]
    for length in (1, 2, 3):
        grams = [tuple(row[at : at + length]) for row in words for at in range(len(row) - length + 1)]
        assert found[f"distinct_{length}"] == pytest.approx(len(set(grams)) / len(grams), abs=1e-6)
    openings = Counter(tuple(row[:3]) for row in words)
    assert found["openings"] == pytest.approx(40**2 / sum(count**2 for count in openings.values()), abs=1e-5)
    data = "\n".join(text[:600] for text in frame["answer"]).encode()
    assert found["compression"] == pytest.approx(len(data) / len(zlib.compress(data, 9)), abs=1e-5)


def test_the_nearest_other_row_is_that_of_all_cosines() -> None:
    frame = written(50)
    cosines = unit(frame) @ unit(frame).T
    np.fill_diagonal(cosines, -2)
    distances = np.sort(1 - cosines.max(axis=1))
    found = one(frame, text="answer")
    assert found["nearest_median"] == pytest.approx(np.median(distances), abs=1e-5)
    assert found["nearest_low"] == pytest.approx(distances[int(0.05 * 49)], abs=1e-5)


def test_ideas_cover_every_row_and_none_lies_within_another() -> None:
    frame = written(80)
    cosines = unit(frame) @ unit(frame).T
    ideas = int(one(frame, text="answer")["ideas"])
    # Leaders are further apart than the limit and every row is near one: fewer than the most that fit, and not fewer
    # than the connected groups.
    group = list(range(80))
    for a, b in zip(*np.nonzero(cosines >= IDEA_COSINE), strict=True):
        group = [group[a] if own == group[b] else own for own in group]
    assert len(set(group)) <= ideas < 80


def test_where_no_idea_came_twice_nothing_is_said_of_how_many_there_are() -> None:
    found = one(pl.DataFrame({"vector": np.eye(4).tolist()}), embedding="vector")
    assert found["ideas_estimate"] is None
    twice = one(pl.DataFrame({"vector": [*np.eye(4).tolist(), [1.0, 0, 0, 0]]}), embedding="vector")
    assert twice["ideas"] == 4
    assert twice["ideas_estimate"] == pytest.approx(4 + 4 / 5 * 3 * 2 / (2 * 2))


def test_a_prefix_is_measured_as_if_it_were_all() -> None:
    frame = written(130)
    found = gen.diversity(frame, text="answer", axes=AXES, sizes=[20, 130])
    assert found["size"].to_list() == [20, 130]
    alone = gen.diversity(frame.head(20), text="answer", axes=AXES)
    assert found.row(0) == alone.row(0)


def test_random_rows_are_the_mean_of_several_choices_whatever_the_order_of_the_pool() -> None:
    pool = written(90)
    chosen = pool.head(30)
    found = gen.diversity(chosen, text="answer", axes=AXES, pool=pool, seed=3)
    again = gen.diversity(chosen, text="answer", axes=AXES, pool=pool.reverse(), seed=3)
    assert found.equals(again)
    assert not found.equals(gen.diversity(chosen, text="answer", axes=AXES, pool=pool, seed=4))
    own, drawn = found.row(0, named=True), found.row(1, named=True)
    assert (own["of"], drawn["of"], drawn["size"]) == ("selected", "random", 30)
    assert drawn["ideas"] * DRAWS == pytest.approx(round(drawn["ideas"] * DRAWS))
    # All of the pool has one choice only, so both lines say the same but for the order that zlib sees.
    whole = gen.diversity(pool, text="answer", axes=AXES, pool=pool).drop("of", "compression")
    for name in (name for name in MEASURES if name != "compression"):
        assert whole[name][0] == pytest.approx(whole[name][1], abs=2e-6)


def test_of_many_rows_one_random_choice_is_measured_and_of_fewer_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thousandfold.gen.breadth.MANY_ROWS", 25)
    pool = written(90)
    found = gen.diversity(pool.head(40), text="answer", axes=AXES, pool=pool, sizes=[20, 40], seed=3)
    few, many = found.filter(pl.col("of") == "random").drop("of", "size").rows()
    chosen = [pool[content_order(pool, (3 << 8) + draw + 1)] for draw in range(DRAWS)]
    assert many == gen.diversity(chosen[0].head(40), text="answer", axes=AXES).drop("of", "size").row(0)
    own = pl.concat([gen.diversity(some.head(20), text="answer", axes=AXES) for some in chosen]).drop("of", "size")
    assert few == pytest.approx(own.mean().row(0), abs=2e-6)
    assert own.n_unique() == DRAWS


def test_a_row_that_is_like_no_other_is_an_idea_whoever_else_is_there() -> None:
    """Only rows near another are compared: the same clusters as if all were."""
    frame = written(120, seed=4)
    vectors = unit(frame)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0)
    alone = int((cosines.max(axis=1) < IDEA_COSINE).sum())
    leaders = same_meaning(frame["answer"], threshold=IDEA_COSINE)["kept"].to_list().count(True)
    found = one(frame, text="answer")
    assert 0 < alone < found["ideas"] < 120
    assert abs(found["ideas"] - leaders) <= 3  # of the same texts, taken in another order
    assert one(pl.concat([frame, written(30, seed=9)]), text="answer")["ideas"] > found["ideas"]


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1e307])
def test_very_small_and_very_large_embeddings_are_measured_as_any_others(scale: float) -> None:
    frame = written(40)
    scaled = frame.with_columns(pl.col("vector").list.eval(pl.element() * scale))
    found, wanted = one(scaled, embedding="vector"), one(frame, embedding="vector")
    names = [name for name in MEASURES if wanted[name] is not None]
    assert {"vendi", "rke", "ideas"} < set(names)
    assert [found[name] for name in names] == pytest.approx([wanted[name] for name in names], rel=1e-3)


def test_a_choice_without_variety_falls_behind_random_in_every_measure() -> None:
    pool = written(200)
    narrow = pl.concat([pool.head(1)] * 25 + [pool.slice(1, 5)])
    found = gen.diversity(narrow, text="answer", axes=AXES, pool=pool, sizes=[30])
    own, drawn = found.row(0, named=True), found.row(1, named=True)
    lower = [name for name in MEASURES if name not in ("levels", "compression", "ideas_estimate", "ideas_high")]
    assert [name for name in lower if not own[name] < drawn[name]] == []
    assert own["compression"] > drawn["compression"]


def test_seeds_stand_beside_a_prefix_of_as_many_rows() -> None:
    frame = written(120)
    found = gen.diversity(frame, text="answer", seeds=written(7, seed=9)["answer"])
    assert found.select("of", "size").rows() == [("selected", 7), ("selected", 100), ("selected", 120), ("seeds", 7)]
    assert found["pairs"].null_count() == 4
    assert found.filter(pl.col("of") == "seeds")["vendi"][0] > 1


def test_what_has_no_column_is_null_and_the_rest_is_measured() -> None:
    frame = written(20)
    bare = one(frame, axes=["domain", "tone"])
    assert {name for name in MEASURES if bare[name] is not None} == {"levels", "pairs"}
    assert {name for name, value in one(frame, embedding="vector").items() if value is None} == {
        *("levels", "pairs", "triples", "openings", "compression", "distinct_1", "distinct_2", "distinct_3")
    }


@pytest.mark.parametrize("text", ["", "   ", "🙂", "\x00", None])
def test_texts_without_words_are_measured_without_a_complaint(text: str | None) -> None:
    frame = pl.DataFrame({"answer": [text, text, "two words"]}, schema={"answer": pl.String})
    found = one(frame, text="answer")
    assert found["distinct_1"] == 1
    assert found["vendi"] == pytest.approx(1)


def test_seeds_may_be_any_texts_and_one_size_a_number() -> None:
    frame = written(20)
    of = ["selected", "random", "seeds"]
    found = gen.diversity(frame, text="answer", pool=frame, seeds=["one text", None, "\ud83d"], sizes=5)
    assert found.select("of", "size").rows() == list(zip(of, (5, 5, 3), strict=True))


def test_no_rows_and_one_row_are_answered() -> None:
    frame = written(3)
    assert gen.diversity(frame.clear(), text="answer", axes=AXES, pool=frame).height == 0
    alone = one(frame.head(1), text="answer")
    assert alone["vendi"] == pytest.approx(1)
    assert alone["ideas"] == 1
    assert alone["nearest_median"] is None


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(max_size=30) | st.none(), min_size=1, max_size=12))
def test_every_measure_of_any_texts_lies_where_it_is_said_to_lie(texts: list[str | None]) -> None:
    made = [None if text is None else text.encode("utf-8", "replace").decode() for text in texts]
    found = one(pl.DataFrame({"answer": made}, schema={"answer": pl.String}), text="answer")
    for name in ("distinct_1", "distinct_2", "distinct_3"):
        assert found[name] is None or 0 < found[name] <= 1
    assert 1 <= found["ideas"] <= len(made)
    if found["vendi"] is not None:
        assert 1 - 1e-6 <= found["rke"] <= found["vendi"] + 1e-6 <= len(made) + 1e-5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"text": "nothing"}, "no column 'nothing'"),
        ({"axes": ["nothing"]}, "no column 'nothing'"),
        ({"embedding": "answer"}, "'answer' of type String"),
        ({"sizes": [0]}, "sizes holds 0"),
        ({"sizes": [21]}, "sizes holds 21"),
        ({"sizes": [True]}, "sizes holds True"),
        ({"axes": {"domain": ["law"]}}, "domain"),
        ({"text": "vector"}, "text names the column 'vector' of type List(Float64)"),
        ({"text": "answer", "seeds": [1, 2]}, "seeds[0] is 1"),
        ({"text": "answer", "seeds": "one text"}, "seeds is 'one text'"),
        ({"pool": written(3).lazy()}, "pool is a LazyFrame"),
        ({"seed": "x"}, "seed is 'x'"),
    ],
)
def test_what_cannot_be_measured_is_one_error_that_says_what_to_do(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(RecipeError) as caught:
        gen.diversity(written(20), **arguments)  # type: ignore[arg-type]
    assert named in caught.value.what
    assert caught.value.do


def test_what_is_no_frame_is_not_measured() -> None:
    with pytest.raises(RecipeError, match="chosen is a LazyFrame"):
        gen.diversity(written(3).lazy(), text="answer")  # type: ignore[arg-type]


def test_the_card_and_the_screen_show_every_line() -> None:
    pool = written(110)
    rows = gen.diversity(pool.head(105), text="answer", axes=AXES, pool=pool, seeds=pool["answer"].head(5)).to_dicts()
    assert {key for _, key, _ in COLUMNS} == set(MEASURES) - {"levels"}
    lines = card_section(rows).splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:9]] == [
        ["| selected", "105"], ["| random", "105"], ["| selected", "100"], ["| random", "100"],
        ["| selected", "5"], ["| random", "5"], ["| seeds", "5"],
    ]  # fmt: skip
    assert len({line.count("|") for line in lines[:9]}) == 1
    assert diversity_table(rows).row_count == 7


def test_the_table_of_a_hundred_thousand_rows_fits_on_eighty_columns_with_nothing_cut() -> None:
    widest = dict.fromkeys(MEASURES, 1.0) | {"vendi": 1_234.5, "openings": 99_999.0, "ideas": 99_999.5}
    rows = [{"of": of, "size": 100_000, **widest, "compression": 12.34} for of in ("selected", "random", "seeds")]
    screen = Console(width=80, file=StringIO())
    screen.print(diversity_table(rows))
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown
    assert len(shown.splitlines()) == 5
    assert all(word in shown for word in ("selected", "100,000", "openings", "12.34", "100.0%", "99,999", "nearest"))


def test_ideas_are_a_whole_number_unless_they_are_a_mean() -> None:
    rows = [
        {"of": of, "size": 3, **dict.fromkeys(MEASURES), "ideas": ideas}
        for of, ideas in (("selected", 3.0), ("random", 2.8))
    ]
    assert [line.split("|")[-4].strip() for line in card_section(rows).splitlines()[2:4]] == ["3", "2.8"]


def test_a_release_says_how_varied_it_is_in_summary_card_and_manifest(tmp_path: Path) -> None:
    done = gen.run(RESPECT, size=40, out=tmp_path / "out")
    assert done.release is not None
    manifest = json.loads((done.release / "manifest.json").read_text())
    assert manifest["diversity"] == done.summary["diversity"]
    assert gen.load(tmp_path / "out").summary["diversity"] == done.summary["diversity"]
    told = {(row["of"], row["size"]): row for row in manifest["diversity"]}
    assert set(told) == {("selected", 24), ("selected", 40), ("random", 24), ("random", 40), ("seeds", 24)}
    assert all(set(row) == set(DIVERSITY) for row in told.values())
    assert told["selected", 40]["pairs"] > told["random", 40]["pairs"]
    counts = Counter(done.exemplars["domain"])
    assert all(own["count"] == counts[level] for level, own in manifest["levels"]["domain"].items())
    assert all(own["count"] >= own["target"] for known in manifest["levels"].values() for own in known.values())
    card = (done.release / "README.md").read_text()
    assert "## How varied it is" in card
    assert f"| selected | 40 | {told['selected', 40]['pairs']:.1%} |" in card
