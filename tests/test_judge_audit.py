"""Fresh labels of what a release ships: the plan comes first, and the bound is that of the plan."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.audit_desk import audit_desk_of
from thousandfold.gen.errors import OutputError, RecipeError
from thousandfold.gen.guarantees import betting_bound, exact_bound
from thousandfold.gen.label_desk import Wanted, desk_of
from thousandfold.gen.output import Output

from ._labels import at_terminal
from ._runs import RESPECT, command, content, release_in

Says = Callable[[int], int]
"""Of the text in so many-th place of the draw: its level."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("audit") / "out"
    gen.run(RESPECT, size=60, out=out)
    return out


@pytest.fixture
def out(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "out")
    return tmp_path / "out"


def good(_: int) -> int:
    return 4


def label(out: Path, says: Says, *, who: str = "ana", places: Sequence[int] | None = None) -> None:
    with audit_desk_of(out) as desk:
        queue = desk.queue(Wanted(who))
        for number in range(len(queue)) if places is None else places:
            desk.book.add([desk.act(queue[number], who, says(number))])


def published(out: Path) -> Path:
    return out / "audits" / f"{release_in(out).name}.json"


def test_the_texts_are_drawn_from_what_is_shipped_and_every_text_has_the_same_chance(out: Path) -> None:
    gen.audit(out, size=20)
    shipped = set(gen.load(out).exemplars["id"])
    with audit_desk_of(out) as desk:
        drawn = [place.id for place in desk.queue(Wanted("ana"))]
    assert len(drawn) == len(set(drawn)) == 20
    assert set(drawn) < shipped
    gen.audit(out, size=30)
    with audit_desk_of(out) as desk:
        assert [place.id for place in desk.queue(Wanted("ana"))][:20] == drawn  # the order is the draw, not the size


def test_a_fixed_audit_has_the_exact_bound_when_its_last_text_is_labelled_and_none_before(out: Path) -> None:
    gen.audit(out, size=40)
    label(out, lambda n: 1 if n in (3, 7) else 3, places=range(39))
    early = gen.audit(out)
    assert (early.found.good, early.found.labels, early.found.bound, early.complete) == (37, 39, None, False)
    assert "no bound: 40 labels were fixed beforehand and 39 are there" in early.rule
    assert not published(out).exists()
    label(out, good, places=[39])
    done = gen.audit(out)
    assert (done.found.good, done.found.labels, done.complete) == (38, 40, True)
    assert done.found.bound == exact_bound(38, 40)
    assert json.loads(published(out).read_text()) == json.loads(json.dumps(done.as_dict()))
    assert "Clopper-Pearson" in done.rule
    assert done.who == {"ana": 40}
    assert done.target_met is (exact_bound(38, 40) >= 0.9)


def test_an_audit_that_may_stop_early_has_the_betting_bound_after_each_label(out: Path) -> None:
    gen.audit(out, stop_early=True, target=0.7)
    label(out, good, places=range(5))
    few = gen.audit(out)
    assert few.found.bound == betting_bound([True] * 5)[-1]
    assert not few.complete
    label(out, lambda n: 0 if n == 9 else 4, places=range(5, 30))
    more = gen.audit(out)
    outcomes = [n != 9 for n in range(30)]
    assert more.found.bound == betting_bound(outcomes)[-1]
    assert more.found.bound != exact_bound(29, 30)
    assert more.complete is more.target_met is True
    assert more.rate is None
    assert "fixed beforehand" in (more.no_rate or "")


def test_a_gap_in_the_draw_ends_what_an_early_stop_may_count(out: Path) -> None:
    gen.audit(out, stop_early=True)
    label(out, good, places=[0, 1, 2, 4, 5, 6, 7])  # the fourth was skipped: it may be the bad one
    assert gen.audit(out).found.labels == 3


def test_the_plan_can_be_changed_until_the_first_label_and_not_after_it(out: Path) -> None:
    gen.audit(out, size=10)
    assert gen.audit(out, stop_early=True).plan.rule == "stop_early"
    assert gen.audit(out, size=12).plan.rule == "fixed"
    label(out, good, places=[0])
    with audit_desk_of(out) as desk:
        desk.book.undo("ana")  # taken back, and still seen
    for terms in ({"size": 10}, {"stop_early": True}, {"target": 0.8}, {"good_from": 2.0}, {"who": "ben"}):
        with pytest.raises(RecipeError, match="its first label is there"):
            gen.audit(out, **terms)
    assert gen.audit(out, size=12).plan.size == gen.audit(out).plan.size == 12
    with sqlite3.connect(out / "ledger.sqlite") as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute("UPDATE audit_plans SET size = 1")


def test_what_is_said_or_taken_back_after_a_fixed_audit_is_complete_does_not_count(out: Path) -> None:
    gen.audit(out, size=10)
    label(out, lambda n: 0 if n == 0 else 4)
    before = gen.audit(out)
    label(out, good, places=[0])
    label(out, good, who="ben")
    with audit_desk_of(out) as desk:
        while desk.book.undo("ana"):
            pass
    assert gen.audit(out).as_dict() == before.as_dict()
    assert before.found.good == 9


def test_labels_of_calibration_are_no_fresh_ones_and_fresh_ones_are_none_of_calibration(out: Path) -> None:
    with desk_of(out) as desk:
        queue = desk.queue(Wanted("ana"))
        desk.book.add([desk.act(place, "ana", 4) for place in queue])
    before = gen.labels(out)
    assert gen.audit(out, size=10).found.labels == 0
    label(out, lambda _: 0)
    assert gen.audit(out).found.good == 0
    assert gen.labels(out).equals(before)


def test_of_several_people_the_first_label_counts_or_the_mean_of_those_who_were_named(out: Path) -> None:
    gen.audit(out, size=5)
    label(out, lambda _: 1, who="ben", places=[0])
    label(out, good, who="ana")
    assert gen.audit(out).found.good == 4
    assert gen.audit(out).who == {"ana": 4, "ben": 1}


def test_named_people_must_all_label_every_text_and_their_mean_counts(out: Path) -> None:
    gen.audit(out, size=5, who=["ana", "ben"])
    label(out, good, who="ana")
    assert gen.audit(out).found.bound is None
    label(out, lambda n: 2 if n else 1, who="ben")
    assert gen.audit(out).found.good == 4  # (4 + 2) / 2 is 3, (4 + 1) / 2 is not
    with audit_desk_of(out) as desk, pytest.raises(RecipeError, match="not among those"):
        desk.queue(Wanted("cem"))


def test_an_audit_of_one_release_is_stale_for_the_next_which_quotes_it(out: Path) -> None:
    gen.audit(out, size=10)
    label(out, good)
    first = release_in(out)
    bound = gen.audit(out).found.bound
    before = content(first)
    gen.run(RESPECT, size=61, out=out)
    second = release_in(out)
    assert second != first
    manifest = json.loads((second / "manifest.json").read_text())
    assert (manifest["last_audit"]["release"], manifest["last_audit"]["bound"]) == (first.name, bound)
    card = " ".join((second / "README.md").read_text().split())
    assert f"Release {first.name} was audited: 10 of 10 fresh labels good" in card
    assert "for this one it is stale" in card
    said = " ".join(command("status", out, cwd=out.parent).out.split())
    assert f"stale for {second.name}" in said
    assert f"release {second.name} has not been audited" in said
    assert gen.audit(out, size=5).found.labels == 0  # labels of the other one do not count
    assert content(first) == before


def test_the_rate_of_all_shipped_texts_uses_scores_where_there_are_labels_of_both_kinds(out: Path) -> None:
    gen.audit(out, size=40)
    label(out, lambda n: 1 if n % 4 == 0 else 3)
    done = gen.audit(out)
    assert done.rate is not None
    estimate, low, high = done.rate
    assert low < estimate < high
    assert abs(estimate - 0.75) < 0.1


def test_all_of_one_kind_has_a_bound_and_says_why_it_has_no_rate(out: Path) -> None:
    gen.audit(out, size=40)
    label(out, good)
    done = gen.audit(out)
    assert done.found.bound == exact_bound(40, 40)
    assert done.rate is None
    assert "0 not" in (done.no_rate or "")


def test_the_command_says_what_is_next_and_prints_the_same_as_json(out: Path) -> None:
    first = command("judge", "audit", out, "--size", "8", cwd=out.parent)
    assert first.code == 0
    assert "8 of 60 shipped texts drawn, fixed beforehand" in first.out
    assert "label" in first.err
    label(out, good)
    done = command("judge", "audit", out, cwd=out.parent)
    assert "8 of 8 good; at least 68.8% of all; the target of 90.0% is not reached" in done.out
    assert str(published(out)) in done.out
    printed = command("judge", "audit", out, "--json", cwd=out.parent).json
    assert printed == json.loads(published(out).read_text())
    assert command("status", out, "--json", cwd=out.parent).json["audits"][0]["bound"] == printed["bound"]
    assert command("verify", out, cwd=out.parent).code == 0


def test_a_person_labels_the_audit_in_the_terminal(out: Path) -> None:
    gen.audit(out, size=3)
    with at_terminal(out, "--audit", "--as", "ana", cwd=out.parent) as person:
        person.press("4")
        person.press("u")
        person.press("3")
        person.press("2")
        person.press("4", until="")
        assert person.ends() == 0
    assert gen.audit(out).found.good == 2
    assert gen.audit(out).complete


def test_a_sheet_of_the_audit_goes_out_and_comes_back(out: Path, tmp_path: Path) -> None:
    gen.audit(out, size=6)
    sheet = tmp_path / "sheet.csv"
    assert command("label", out, "--audit", "--export", sheet, "--as", "ana", cwd=tmp_path).code == 0
    rows = pl.read_csv(sheet, infer_schema=False).with_columns(level=pl.lit("3"))
    assert rows.height == 6
    rows.write_csv(sheet)
    done = command("label", out, "--audit", "--import", sheet, cwd=tmp_path)
    assert (done.code, "6 labelled" in done.out) == (0, True)
    assert gen.audit(out).complete
    other = next(i for i in gen.load(out).exemplars["id"] if i not in set(rows["id"]))
    rows.with_columns(id=pl.lit(other)).write_csv(sheet)
    refused = command("label", out, "--audit", "--import", sheet, cwd=tmp_path)
    assert refused.code == 2
    assert other in refused.err


def test_what_cannot_be_is_one_clear_error(out: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        gen.audit(tmp_path)
    with pytest.raises(RecipeError, match="size is 61"):
        gen.audit(out, size=61)
    for terms, named in (({"target": 1.0}, "target is"), ({"good_from": 5.0}, "good_from is"), ({"who": " "}, "name")):
        with pytest.raises(RecipeError, match=named):
            gen.audit(out, **terms)
    unplanned = command("label", out, "--audit", "--import", "x.csv", cwd=out.parent)
    assert (unplanned.code, "no audit of release" in unplanned.err) == (2, True)
    mixed = command("label", out, "--audit", "--active", cwd=out.parent)
    assert (mixed.code, "fixed when it was planned" in mixed.err) == (2, True)


def test_a_ledger_from_before_there_were_audits_has_none(out: Path) -> None:
    from thousandfold.gen.audit_result import audits_in

    assert audits_in(Output.existing(out)) == []
    assert command("status", out, "--json", cwd=out.parent).json["audits"] == []
