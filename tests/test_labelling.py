"""Labelling as people do it: keys on a real terminal, a sheet out and in, two at once; and what nobody may see."""

from __future__ import annotations

import csv
import getpass
import io
import json
import shutil
import signal
import sqlite3
import zlib
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from thousandfold import gen
from thousandfold.gen.cli import main
from thousandfold.gen.output import Output
from thousandfold.gen.recipe import load

from ._labels import at_terminal, judged, texts_in
from ._runs import RESPECT, Done, content, release_in

SIZE = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in which the judge gave several levels."""
    out = tmp_path_factory.mktemp("made") / "out"
    gen.run(RESPECT, size=SIZE, out=out, teacher="rehearsal:hollow=0.3")
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(made, tmp_path / "out")


def label(out: Path, *words: str | Path) -> Done:
    """The command in this process, where there is no terminal: quicker, and a bug is raised as itself."""
    found = CliRunner().invoke(main, ["label", str(out), *map(str, words)], catch_exceptions=False)
    return Done(found.exit_code, found.stdout, found.stderr)


def exported(out: Path, *words: str | Path, name: str = "sheet.csv") -> list[dict[str, str]]:
    said = label(out, "--export", out.parent / name, *words)
    assert (said.code, said.out) == (0, f"{out.parent / name}\n"), said.err
    return list(csv.DictReader(io.StringIO((out.parent / name).read_text(encoding="utf-8-sig"), newline="")))


def sheet(out: Path, rows: list[dict[str, str]], name: str = "filled.csv") -> Path:
    path = out.parent / name
    with path.open("w", encoding="utf-8", newline="") as file:
        made = csv.DictWriter(file, list(rows[0]))
        made.writeheader()
        made.writerows(rows)
    return path


def filled(rows: list[dict[str, str]], *levels: int) -> list[dict[str, str]]:
    """The rows with levels, in turn."""
    return [row | {"level": str(levels[i % len(levels)])} for i, row in enumerate(rows)]


def refused(said: Done, code: int, sentence: str) -> None:
    assert said.code == code, said.err
    assert sentence in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n  why: ") == said.err.count("\n  do:  ") == 1
    assert said.out == ""


# In the terminal.


def test_a_level_a_skip_and_a_quit_are_kept_and_the_next_sitting_goes_on(out: Path) -> None:
    with at_terminal(out, "--as", "ana", cwd=out.parent) as ana:
        first = texts_in(ana.shown, judged(out))
        second = texts_in(ana.press("3"), judged(out))
        assert "kept: level 3" in ana.shown
        third = texts_in(ana.press("s"), judged(out))
        assert "kept: skipped" in ana.shown
        assert "ana: 1 labelled, 1 skipped; 1 in all" in ana.quits()
    assert (len(first), len(second), len(third)) == (1, 1, 1)
    found = gen.labels(out)
    assert found.select("id", "who", "level", "drawn").rows() == [(first[0], "ana", 3, "random")]
    with at_terminal(out, "--as", "ana", cwd=out.parent) as ana:
        assert texts_in(ana.shown, judged(out)) == third
        ana.quits()
    with at_terminal(out, "--as", "ben", cwd=out.parent) as ben:
        assert texts_in(ben.shown, judged(out)) == first
        ben.quits()


def test_undo_shows_the_text_again_and_reaches_back_to_an_earlier_sitting(out: Path) -> None:
    with at_terminal(out, "--as", "ana", cwd=out.parent) as ana:
        first = texts_in(ana.shown, judged(out))
        second = texts_in(ana.press("0"), judged(out))
        assert texts_in(ana.press("u"), judged(out)) == first
        assert "taken back" in ana.shown
        assert "nothing to take back" in ana.press("u")
        assert texts_in(ana.press("4"), judged(out)) == second
        ana.press("1")
        assert "ana: 2 labelled; 2 in all" in ana.quits()
    with at_terminal(out, "--as", "ana", cwd=out.parent) as ana:
        assert texts_in(ana.press("u"), judged(out)) == second
        ana.press("2")
        assert "ana: 1 labelled; 2 in all" in ana.quits()
    assert gen.labels(out).select("id", "level").rows() == [(first[0], 4), (second[0], 2)]


def test_the_screen_shows_the_text_and_the_rubric_of_its_facet_and_nothing_of_judge_or_teacher(out: Path) -> None:
    with at_terminal(out, "--as", "ana", cwd=out.parent, rows=200) as ana:
        shown = " ".join(ana.shown.split())
        ana.quits()
    found = judged(out)
    (draft_id,) = texts_in(shown, found)
    row = found.row(by_predicate=pl.col("id") == draft_id, named=True)
    rubric = load(RESPECT).rubrics[row["facet"]]
    for text in (*(turn["content"] for turn in row["messages"]), rubric.definition, *rubric.levels.values()):
        for line in filter(None, text.split("\n")):
            assert " ".join(line.split()) in shown
    assert row["teacher"] not in shown
    assert "score" not in shown
    assert "trigger" not in shown
    assert "judge" not in shown


def test_a_small_window_scrolls_and_a_wrong_key_is_said_and_counts_for_nothing(out: Path) -> None:
    with at_terminal(out, "--as", "ana", cwd=out.parent, rows=14) as ana:
        assert "space: further" in ana.shown
        assert "user: " in ana.shown
        while "space: further" in ana.press(" "):
            pass
        assert "user: " not in ana.shown
        assert "'7' is no key here" in ana.press("7")
        assert "user: " in ana.shown  # from the top again
        ana.press("\x1b[B")  # an arrow is no label and no quit
        ana.quits()
    assert gen.labels(out).height == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_every_label_gives_the_terminal_back_and_says_so(
    number: signal.Signals, code: int, out: Path
) -> None:
    import termios

    cooked = termios.ECHO | termios.ICANON
    with at_terminal(out, "--as", "ana", cwd=out.parent) as ana:
        assert not termios.tcgetattr(ana.outside)[3] & cooked
        ana.press("3")
        ana.press("2")
        ana.signal(number)
        assert ana.ends() == code
        assert "error: labelling was interrupted" in ana.shown
        assert "every label up to here is kept" in ana.shown
        assert "Traceback" not in ana.shown
        assert termios.tcgetattr(ana.outside)[3] & cooked == cooked
    assert gen.labels(out)["level"].to_list() == [3, 2]


def test_two_people_at_once_both_keep_all_and_see_nothing_of_each_other(out: Path) -> None:
    with (
        Output(out).locked(),  # as if a run were under way
        at_terminal(out, "--as", "ana", cwd=out.parent) as ana,
        at_terminal(out, "--as", "ben", cwd=out.parent) as ben,
    ):
        for mine, theirs in ("04", "13", "22", "31"):
            ana.press(mine)
            assert "ana" not in ben.press(theirs)
        assert "ana: 4 labelled" in ana.quits()
        assert "ben: 4 labelled" in ben.quits()
    found = gen.labels(out)
    assert found.filter(pl.col("who") == "ana")["level"].to_list() == [0, 1, 2, 3]
    assert found.filter(pl.col("who") == "ben")["level"].to_list() == [4, 3, 2, 1]
    assert found.filter(pl.col("who") == "ana")["id"].to_list() == found.filter(pl.col("who") == "ben")["id"].to_list()


def test_without_overlap_two_people_at_once_never_read_the_same_text(out: Path) -> None:
    words = (out, "--overlap", "0", "--as")
    with (
        at_terminal(*words, "ana", cwd=out.parent) as ana,
        at_terminal(*words, "ben", cwd=out.parent) as ben,
    ):
        for _ in range(4):
            ana.press("3")
            ben.press("2")
        ana.quits()
        ben.quits()
    assert gen.labels(out)["id"].n_unique() == 8


def test_a_count_ends_the_sitting_and_without_a_name_the_login_name_is_shown_and_used(out: Path) -> None:
    with at_terminal(out, "--count", "3", cwd=out.parent) as person:
        assert f"text 1 of 3 · clear boundaries · labelled by {getpass.getuser()}" in person.shown
        person.press("012", until="3 labelled")
        assert person.ends() == 0
    assert gen.labels(out).select("who", "level").rows() == [(getpass.getuser(), level) for level in (0, 1, 2)]


def test_control_characters_do_not_reach_the_terminal(out: Path) -> None:
    path = release_in(out) / "recipe" / "values" / "honest_apology.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('definition = "', 'definition = "\\u001b[2J\\u202e', 1))
    with at_terminal(out, "--facet", "honest apology", cwd=out.parent, rows=200) as ana:
        assert "\ufffd[2J\ufffd" in ana.shown
        assert "\u202e" not in ana.shown
        ana.quits()


# A sheet out and in.


def test_a_sheet_goes_out_blind_and_comes_back_as_labels(out: Path) -> None:
    rows = exported(out, "--count", "10", "--as", "ana")
    assert list(rows[0]) == ["id", "facet", "text", "rubric", "level", "who"]
    assert {row["level"] for row in rows} == {""}
    known = {row["id"]: row for row in judged(out).iter_rows(named=True)}
    for row in rows:
        assert row["facet"] == known[row["id"]]["facet"]
        assert known[row["id"]]["messages"][-1]["content"] in row["text"]
        assert "4 = " in row["rubric"]
    said = label(out, "--import", sheet(out, filled(rows, 0, 1, 2, 3, 4)))
    assert (said.code, said.err) == (0, "")
    assert said.out == f"ana: 10 labelled; 10 in all, {len(known) - 10} texts left\n"
    found = gen.labels(out)
    assert found["id"].to_list() == [row["id"] for row in rows]
    assert found["level"].to_list() == [0, 1, 2, 3, 4] * 2
    assert set(found["drawn"]) == {"random"}
    assert found["text_sha256"].n_unique() == 10


def test_the_sheet_and_the_terminal_draw_the_same_texts_with_the_same_probability(out: Path) -> None:
    rows = exported(out, "--count", "6")
    label(out, "--import", sheet(out, filled(rows, 3)), "--as", "ben")
    with at_terminal(out, "--as", "ana", "--count", "6", cwd=out.parent) as ana:
        ana.press("3" * 6, until="6 labelled")
        ana.ends()
    found = gen.labels(out).select("id", "probability", "text_sha256", "rubric_sha256", "release", "who")
    mine, theirs = (found.filter(pl.col("who") == who).drop("who") for who in ("ana", "ben"))
    assert mine.equals(theirs)
    sizes = Counter(judged(out)["facet"])
    first = rows[0]["facet"]
    expected = sum(row["facet"] == first for row in rows) / sizes[first]
    assert mine.row(0, named=True)["probability"] == pytest.approx(expected)


def test_a_sheet_can_be_imported_again_without_harm_and_a_changed_level_counts_and_is_said(out: Path) -> None:
    rows = filled(exported(out, "--count", "3", "--as", "ana"), 3)
    label(out, "--import", sheet(out, rows))
    again = label(out, "--import", sheet(out, rows), "--json").json["labellers"]
    assert [(s["labelled"], s["known"], s["total"]) for s in again] == [(0, 3, 3)]
    changed = label(out, "--import", sheet(out, [rows[0] | {"level": "1"}, *rows[1:]]))
    assert f"{rows[0]['id']} had level 3 by ana: the later counts (1)" in changed.err
    assert gen.labels(out).sort("at")["level"].to_list() == [3, 3, 1]


def test_two_labels_by_one_person_in_one_sheet_are_said_and_the_later_counts(out: Path) -> None:
    rows = filled(exported(out, "--count", "2", "--as", "ana"), 3)
    said = label(out, "--import", sheet(out, [*rows, rows[0] | {"level": "1"}]))
    assert said.code == 0
    assert f"{rows[0]['id']} has two labels by ana, in lines " in said.err
    assert "the later counts" in said.err
    assert dict(gen.labels(out).select("id", "level").rows()) == {rows[0]["id"]: 1, rows[1]["id"]: 3}


def test_one_sheet_may_hold_several_people_and_rows_nobody_filled(out: Path) -> None:
    rows = exported(out, "--count", "4")
    given = [rows[0] | {"level": "3", "who": "ana"}, rows[1] | {"level": "1", "who": "  ben "}, rows[2]]
    said = label(out, "--import", sheet(out, given))
    assert gen.labels(out).select("who", "level").rows() == [("ana", 3), ("ben", 1)]
    assert "1 rows have no level" in said.err


def test_a_text_that_was_never_given_out_is_kept_as_chosen_and_that_is_said(out: Path) -> None:
    ids = judged(out)["id"].to_list()[:2]
    said = label(out, "--import", sheet(out, [{"id": i, "level": "3"} for i in ids]), "--as", "ana")
    assert "2 texts were never given out: kept as chosen, which no guarantee may use" in said.err
    assert gen.labels(out).select("drawn", "probability").rows() == [("chosen", None)] * 2


def test_where_every_text_of_a_facet_is_labelled_nobody_chose(out: Path) -> None:
    ids = judged(out).filter(pl.col("facet") == "honest apology")["id"].to_list()
    said = label(out, "--import", sheet(out, [{"id": i, "level": "3"} for i in ids]), "--as", "ana")
    assert "never given out" not in said.err
    assert gen.labels(out).select("drawn", "probability").unique().rows() == [("random", 1.0)]


def test_a_facet_alone_can_be_asked_for(out: Path) -> None:
    rows = exported(out, "--facet", "honest apology")
    assert {row["facet"] for row in rows} == {"honest apology"}
    assert len(rows) == Counter(judged(out)["facet"])["honest apology"]


def test_sheets_without_overlap_share_no_text(out: Path) -> None:
    first = exported(out, "--count", "5", "--overlap", "0", name="1.csv")
    second = exported(out, "--count", "5", "--overlap", "0", name="2.csv")
    assert len({row["id"] for row in first + second}) == 10


def test_json_tells_of_the_sheet_and_of_the_labels(out: Path) -> None:
    told = label(out, "--export", "s.csv", "--count", "3", "--json").json
    assert told == {"sheet": "s.csv", "texts": 3, "who": None}
    told = label(out, "--import", "s.csv", "--as", "ana", "--json")
    assert told.code == 2
    assert "no level stands in it" in told.json["error"]["what"]


# Active mode.


def test_active_draws_say_so_with_their_probability_and_go_on_until_the_batch_is_done(out: Path) -> None:
    with at_terminal(out, "--as", "ana", "--active", "--count", "5", cwd=out.parent) as ana:
        ana.press("2")
        ana.press("3")
        ana.quits()
    rows = exported(out, "--as", "ana", "--active", "--count", "5")  # the three that are left of the same batch
    assert len(rows) == 3
    assert label(out, "--import", sheet(out, filled(rows, 1))).code == 0
    found = gen.labels(out)
    assert set(found["drawn"]) == {"active"}
    assert found.height == found["id"].n_unique() == 5
    assert found.filter((pl.col("probability") <= 0) | (pl.col("probability") > 1)).height == 0
    assert len(exported(out, "--as", "ana", "--active", "--count", "4", name="next.csv")) == 4


def test_active_texts_that_the_random_draw_passes_count_as_random_from_then_on(out: Path) -> None:
    rows = exported(out, "--as", "ana", "--active", "--count", "12")
    label(out, "--import", sheet(out, filled(rows, 2)))
    everything = judged(out).height
    with at_terminal(out, "--as", "ana", cwd=out.parent) as ana:
        ana.press("3" * (everything - 12), until="labelled;")
        assert ana.ends() == 0
    found = gen.labels(out)
    assert found.height == everything
    assert set(found["drawn"]) == {"random"}
    assert set(found["probability"]) == {1.0}  # the draw has come to the end of every facet
    assert found.filter(pl.col("id").is_in([row["id"] for row in rows]))["level"].to_list() == [2] * 12


# Nobody shows a label to a model.


def test_no_request_in_the_ledger_knows_of_a_label_and_a_run_asks_the_same_with_and_without(
    out: Path, made: Path, tmp_path: Path
) -> None:
    rows = exported(out, "--as", "quillfeather")
    assert label(out, "--import", sheet(out, filled(rows, 0))).code == 0
    plain = shutil.copytree(made, tmp_path / "plain")
    for folder in (out, plain):
        gen.run(RESPECT, size=SIZE + 2, out=folder, teacher="rehearsal:hollow=0.3")
    assert content(release_in(out)) == content(release_in(plain))
    asked = [requests_of(folder) for folder in (out, plain)]
    assert asked[0] == asked[1]
    assert len(asked[0]) > 100
    assert not [request for request in asked[0].values() if "quillfeather" in request]
    assert gen.labels(out).height == len(rows)
    assert CliRunner().invoke(main, ["verify", str(out)]).exit_code == 0


def requests_of(out: Path) -> dict[str, str]:
    db = sqlite3.connect(out / "ledger.sqlite")
    try:
        rows = db.execute("SELECT ask_id, request FROM outcomes").fetchall()
    finally:
        db.close()
    return {ask_id: json.dumps(json.loads(zlib.decompress(request))) for ask_id, request in rows}


# Bad input.


def test_where_there_is_no_terminal_it_says_what_to_do(out: Path) -> None:
    before = (out / "ledger.sqlite").read_bytes()
    refused(label(out), 2, "stdin and stderr are no terminal")
    assert "--export FILE.csv, then --import FILE.csv" in label(out).err
    assert (out / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "words", "sentence"),
    [
        ([{"id": "d-none", "level": "3"}], ("--as", "ana"), "has labels for ids that release"),
        ([{"id": "ID", "level": "5"}], ("--as", "ana"), "line 2 (ID): level '5'"),
        ([{"id": "ID", "level": "3"}], (), "line 2 does not say who labelled it"),
        ([{"id": "ID", "level": "3", "who": "ben"}], ("--as", "ana"), "line 2 is by 'ben', --as says 'ana'"),
        ([{"id": "ID", "level": "3", "text": "another"}], ("--as", "ana"), "the text is not that of its id: line 2"),
        ([{"id": "ID", "level": "3", "who": "x" * 65}], ("--as", "ana"), "is no name of a labeller"),
        ([{"id": "ID", "level": "3"}], ("--as", " "), "is no name of a labeller"),
        ([{"id": "ID", "points": "3"}], ("--as", "ana"), "has no column 'level'"),
        ([{"id": "ID", "level": "3"}], ("--as", "ana", "--active"), "--import and --active were given together"),
    ],
)
def test_a_sheet_that_cannot_be_taken_is_refused_whole(
    rows: list[dict[str, str]], words: tuple[str, ...], sentence: str, out: Path
) -> None:
    known = judged(out)["id"][0]
    good = dict.fromkeys(rows[0], "") | {"id": judged(out)["id"][1], "level": "3"}
    given = [{key: value.replace("ID", known) for key, value in row.items()} for row in rows]
    path = sheet(out, [*given, good] if "level" in rows[0] else given)
    refused(label(out, "--import", path, *words), 2, sentence.replace("ID", known))
    assert gen.labels(out).height == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--facet", "courage"), "has no text of the facet 'courage'"),
        (("--import", "nowhere.csv", "--as", "ana"), "'nowhere.csv' cannot be read"),
        (("--export", "no/where.csv"), "cannot be written"),
    ],
)
def test_what_does_not_exist_is_said(words: tuple[str, ...], sentence: str, out: Path) -> None:
    more = ("--export", "s.csv") if "--facet" in words else ()
    refused(label(out, *words, *more), 2, sentence)


def test_an_output_without_a_release_has_nothing_to_label(out: Path) -> None:
    (out / "LATEST").unlink()
    refused(label(out, "--export", "s.csv"), 2, "has no release yet")


def test_sorting_one_column_alone_is_found_and_nothing_is_imported(out: Path) -> None:
    rows = filled(exported(out, "--count", "6", "--as", "ana"), 3)
    ids = sorted(row["id"] for row in rows)
    mixed = [row | {"id": draft_id} for row, draft_id in zip(rows, ids, strict=True)]
    assert [row["id"] for row in mixed] != [row["id"] for row in rows]
    refused(label(out, "--import", sheet(out, mixed)), 2, "the text is not that of its id")
    assert gen.labels(out).height == 0
