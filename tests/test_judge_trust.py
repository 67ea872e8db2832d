"""How far a judge's scores may be trusted, by labels of simulated people on a real run's texts."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.errors import OutputError, RecipeError
from thousandfold.gen.guarantees import conformal_selection
from thousandfold.gen.label_desk import Wanted, desk_of
from thousandfold.gen.labelbook import LabelBook

from ._labels import judged
from ._runs import RESPECT, command

Level = Callable[[random.Random, float], float]
"""What a person says of a text whose level is so and so, before it is rounded to the rubric."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trust") / "out"
    gen.run(RESPECT, size=200, out=out)
    return out


@pytest.fixture
def out(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "out")
    return tmp_path / "out"


def sees(dice: random.Random, level: float) -> float:
    return level + dice.gauss(-0.6, 0.5)


def guesses(dice: random.Random, _: float) -> float:
    return dice.uniform(1.0, 4.0)


def label(out: Path, people: Mapping[str, Level], *, count: int = 160, active: bool = False) -> None:
    """Each of the people labels the first `count` texts of their queue."""
    known = dict(judged(out).select("id", "level").iter_rows())
    with desk_of(out) as desk:
        for who, says in people.items():
            dice = random.Random(who)
            queue = desk.queue(Wanted(who, active=active, count=count if active else None))
            levels = [min(max(round(says(dice, known[place.id] or 0.0)), 0), 4) for place in queue[:count]]
            desk.book.add([desk.act(place, who, level) for place, level in zip(queue, levels, strict=False)])


def test_it_is_a_name_of_the_library(out: Path) -> None:
    assert gen.trust(out).release == gen.load(out).summary["name"]


def test_what_could_be_shipped_is_what_the_promise_gives_for_the_labelled_texts(out: Path) -> None:
    label(out, {"ana": sees})
    found = gen.trust(out, alpha=0.1)
    said = dict(gen.labels(out).select("id", "level").iter_rows())
    table = pl.read_parquet(gen.load(out).release / "tables" / "judgements.parquet")  # type: ignore[operator]
    assert [trust.facet for trust in found.facets] == sorted(table["facet"].unique())
    for trust in found.facets:
        rows = table.filter(pl.col("facet") == trust.facet)
        mine = rows.filter(pl.col("id").is_in(list(said)))
        good = [said[i] >= 3 for i in mine["id"]]
        assert (trust.labels, trust.good, trust.missing) == (mine.height, sum(good), None)
        rest = rows.filter(~pl.col("id").is_in(list(said)))["score"]
        kept = conformal_selection(rest.to_numpy(), labelled=mine["score"].to_numpy(), good=good, alpha=0.1).kept
        shipped = trust.shipped[0]
        assert (shipped.name, shipped.texts, shipped.kept) == ("conformal selection", len(rest), int(kept.sum()))
        assert trust.auc is not None
        assert trust.auc > 0.7
        assert trust.rate is not None
        assert trust.rate[1] <= sum(good) / len(good) <= trust.rate[2]


def test_a_judge_whom_people_do_not_follow_is_too_weak_and_ships_nothing(out: Path) -> None:
    label(out, {"ana": guesses, "ben": guesses})
    for trust in gen.trust(out).facets:
        assert trust.shipped[0].is_weak
        assert trust.as_dict()["too_weak"]
        assert trust.agreement.kappa is not None
        assert trust.agreement.kappa < 0.3
    said = command("judge", "calibrate", out, cwd=out.parent).out
    assert "too weak a judge, or too few labels, for that" in said
    assert "conformal selection would ship 0%" in said


def test_where_every_text_has_a_label_no_judge_is_called_weak(out: Path) -> None:
    label(out, {"ana": sees}, count=1000)
    assert {shipped.texts for trust in gen.trust(out).facets for shipped in trust.shipped} == {0}
    said = command("judge", "calibrate", out, cwd=out.parent).out
    assert "conformal selection has nothing to choose from, for every text has a label" in said
    assert "would ship" not in said
    assert "too weak" not in said


def test_people_who_agree_and_a_judge_that_agrees_with_them_are_told_apart_from_one_who_guesses(out: Path) -> None:
    label(out, {"ana": sees, "ben": sees, "cem": guesses})
    with_a_guesser = {trust.facet: trust.agreement for trust in gen.trust(out).facets}
    assert {agreement.people for agreement in with_a_guesser.values()} == {3}
    with LabelBook(out / "ledger.sqlite") as book:
        while book.undo("cem"):
            pass
    for trust in gen.trust(out).facets:
        before, after = with_a_guesser[trust.facet], trust.agreement
        assert after.people == 2
        assert (after.alpha or 0) > (before.alpha or 0) + 0.05
        assert (after.kappa or 0) > 0.4


def test_the_mean_of_people_counts_and_the_level_from_which_a_text_is_good_can_be_set(out: Path) -> None:
    label(out, {"ana": lambda _, __: 2, "ben": lambda _, __: 4})
    assert all(trust.good == trust.labels for trust in gen.trust(out).facets)
    none = gen.trust(out, good_from=3.5).facets
    assert all(trust.good == 0 for trust in none)
    assert all("0 of" in (trust.missing or "") and "are good" in (trust.missing or "") for trust in none)


def test_few_labels_say_how_many_are_missing_and_promise_nothing(out: Path) -> None:
    label(out, {"ana": sees}, count=12)
    for trust in gen.trust(out).facets:
        assert trust.missing is not None
        assert "at least 20 labels drawn at random" in trust.missing
        assert (trust.auc, trust.rate, trust.shipped) == (None, None, ())


def test_labels_of_active_mode_are_set_aside_because_promises_hold_for_random_ones_only(out: Path) -> None:
    label(out, {"ana": sees})
    before = gen.trust(out)
    label(out, {"ben": sees}, count=30, active=True)
    after = gen.trust(out)
    assert [trust.labels for trust in after.facets] == [trust.labels for trust in before.facets]
    assert sum(trust.set_aside.get("not drawn at random", 0) for trust in after.facets) > 0


def test_a_label_whose_text_has_changed_is_set_aside(out: Path) -> None:
    label(out, {"ana": sees})
    with desk_of(out) as desk:
        place = desk.queue(Wanted("ana"))[0]
        desk.messages[place.id][-1]["content"] += " And one more thing."
        desk.book.add([desk.act(place, "ana", 4)])
    aside = [trust.set_aside for trust in gen.trust(out).facets]
    assert aside.count({"the text has changed": 1}) == 1


def test_the_command_prints_the_same_as_json_and_errors_in_three_parts(out: Path) -> None:
    label(out, {"ana": sees})
    done = command("judge", "calibrate", out, "--alpha", "0.1", "--json", cwd=out.parent)
    assert (done.code, done.json) == (0, _plain(gen.trust(out, alpha=0.1).as_dict()))
    for words, named in ((("--alpha", "2"), "alpha is 2.0"), (("--good-from", "9"), "good_from is 9.0")):
        failed = command("judge", "calibrate", out, *words, cwd=out.parent)
        assert (failed.code, failed.out) == (2, "")
        assert named in failed.err
        assert "  do:" in failed.err
    nothing = command("judge", "calibrate", "nowhere", cwd=out.parent)
    assert nothing.code == 2


def test_an_output_directory_without_a_release_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        gen.trust(tmp_path)
    with pytest.raises(RecipeError, match="good_from"):
        gen.trust(tmp_path, good_from=0)


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(own) for key, own in value.items()}
    return [_plain(own) for own in value] if isinstance(value, (list, tuple)) else value
