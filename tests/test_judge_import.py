"""Recorded labels and scores of any origin: read as they came, calibrated on one half, checked on the other."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thousandfold import gen
from thousandfold.gen.errors import RecipeError

from ._runs import ROOT, command

PANDALM = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", ROOT.parent / "shared" / "data")) / "pandalm"
needs_pandalm = pytest.mark.skipif(not PANDALM.is_dir(), reason=f"PandaLM's recorded judgements are not in {PANDALM}")
PEOPLE = ["annotator1", "annotator2", "annotator3"]


def pandalm(judge: str, column: str) -> gen.Recorded:
    return gen.recorded(
        [PANDALM / "testset-v1.json", PANDALM / judge], score=column, label=PEOPLE, id="idx", pairwise=True,
        text=["instruction", "input", "response1", "response2"],
    )  # fmt: skip


def table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        sheet = csv.DictWriter(file, list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)
    return path


def graded(count: int = 300, *, seed: int = 1) -> list[dict[str, Any]]:
    """Empathy in grades 0 to 2 by two people, with a judge between 0 and 1 who sees most of it."""
    dice = np.random.default_rng(seed)
    truth = dice.normal(size=count)
    return [
        {
            "response": f"text {number}",
            "judge": round(float(1 / (1 + np.exp(-one - dice.normal() * 0.5))), 4),
            **{who: int(np.clip(np.round(1.2 + one + dice.normal() * 0.4), 0, 2)) for who in ("ana", "ben")},
            "rationale": "because",
        }
        for number, one in enumerate(truth)
    ]


@needs_pandalm
def test_the_agreement_of_pandalms_people_and_judges_is_as_published() -> None:
    rows = pandalm("gpt-3.5-turbo-testset-v1.json", "gpt_result")
    assert (len(rows.ids), int(rows.scored.sum()), rows.unscored) == (999, 974, {"garbage": 25})
    found = gen.people_and_judge(rows)
    assert [round(kappa or 0, 3) for _, _, _, kappa in found.pairs] == [0.852, 0.879, 0.862]
    assert round(found.same / found.compared, 4) == 0.7156
    assert round(found.same / len(rows.ids), 4) == 0.6977  # where what cannot be read counts as wrong
    assert found.bound == gen.exact_bound(697, 974)
    untied = rows.scored & (rows.scores != 0.5)
    assert round(float((rows.scores == rows.labels)[untied].sum()) / 999, 4) == 0.6927  # ties count as wrong, too
    other = gen.people_and_judge(pandalm("pandalm-7b-testset-v1.json", "pandalm_result"))
    assert other.compared == 999


@needs_pandalm
def test_a_promise_from_one_half_of_pandalm_holds_on_the_other() -> None:
    rows = pandalm("gpt-3.5-turbo-testset-v1.json", "gpt_result")
    found = gen.held_out(rows.scores, rows.good, alpha=0.35, target=0.6)
    conformal, rule = found.promises
    assert conformal.mean_share > 0.2
    assert conformal.mean_bad <= 0.35
    assert conformal.bound == gen.exact_bound(conformal.good, conformal.accepted)
    assert rule.missed is not None
    assert rule.missed <= 0.1 + 0.05
    assert found.ece < 0.1
    weak = gen.held_out(rows.scores, rows.good, alpha=0.05)
    assert weak.promises[0].mean_share < 0.2


@needs_pandalm
def test_the_command_reads_pandalm_and_publishes_a_bound(tmp_path: Path) -> None:
    words: list[str | Path] = [
        PANDALM / "testset-v1.json",
        PANDALM / "gpt-3.5-turbo-testset-v1.json",
        "--score",
        "gpt_result",
    ]
    words += [part for name in PEOPLE for part in ("--label", name)]
    words += ["--id", "idx", "--text", "response1", "--text", "response2", "--pairwise", "--alpha", "0.35"]
    done = command("judge", "import", *words, "--to", tmp_path / "kept.csv", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "the same verdict on 697 of 974 (0.7156); at least 0.69" in done.out
    assert "annotator1 and annotator2: kappa 0.852 (unweighted)" in done.out
    assert "exact, one-sided 95 %" in done.out
    kept = (tmp_path / "kept.csv").read_text()
    assert "Grammarly" not in kept
    assert len(kept.splitlines()) == 1000
    again = command(
        "judge", "import", tmp_path / "kept.csv", "--score", "score", "--label", "annotator1", "--label", "annotator2",
        "--label", "annotator3", "--id", "id", "--json", cwd=tmp_path,
    ).json  # fmt: skip
    assert again["texts"] == 999
    assert [round(pair[3], 3) for pair in again["agreement"]["pairs"]] == [0.852, 0.879, 0.862]


def test_graded_empathy_is_read_from_csv_json_and_lines_alike(tmp_path: Path) -> None:
    rows = graded()
    files = [table(tmp_path / "rows.csv", rows), tmp_path / "rows.json", tmp_path / "rows.jsonl"]
    files[1].write_text(json.dumps(rows))
    files[2].write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = [gen.recorded(file, score="judge", label=["ana", "ben"], text="response") for file in files]
    for one in read:
        assert np.array_equal(one.ratings, read[0].ratings)
        assert np.array_equal(one.scores, read[0].scores)
        assert one.ids == read[0].ids
        assert "above 1, the middle of 0 to 2" in one.good_words
        assert one.good.tolist() == [(row["ana"] + row["ben"]) / 2 > 1 for row in rows]
    by_two = gen.recorded(files[0], score="judge", label=["ana", "ben"], good_from=2)
    assert by_two.good.tolist() == [row["ana"] == row["ben"] == 2 for row in rows]


def test_a_row_for_each_label_is_read_as_a_column_for_each_person(tmp_path: Path) -> None:
    rows = graded(60)
    wide = gen.recorded(table(tmp_path / "wide.csv", rows), score="judge", label=["ana", "ben"], text="response")
    long = [
        {"response": row["response"], "judge": row["judge"], "who": who, "grade": row[who]}
        for who in ("ana", "ben")
        for row in rows
    ]
    read = gen.recorded(table(tmp_path / "long.csv", long), score="judge", label="grade", rater="who", text="response")
    assert (read.raters, read.ids) == (["ana", "ben"], wide.ids)
    assert np.array_equal(read.ratings, wide.ratings)
    assert np.allclose(read.scores, wide.scores)


def test_refusals_in_words_are_read_by_a_map(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"p{n}", "human1": "refusal" if n % 3 else "compliance", "human2": "Refusal", "judge": n % 3 != 1}
        for n in range(60)
    ]
    path = table(tmp_path / "refusals.csv", rows)
    words = ["--score", "judge", "--label", "human1", "--label", "human2", "--map", "refusal=1"]
    refused = command("judge", "import", path, *words, cwd=tmp_path)
    assert refused.code == 2
    assert "20 labels cannot be read: row 2: human1 = 'compliance'" in refused.err
    assert "--map WORD=NUMBER" in refused.err
    done = command("judge", "import", path, *words, "--map", "compliance=0", "--json", cwd=tmp_path)
    assert done.code == 0
    assert (done.json["good"], done.json["texts"], done.json["scored"]) == (40, 60, 60)


def test_the_promise_on_average_holds_over_many_halves_and_one_half_is_reported_with_its_bound() -> None:
    rows = graded(600)
    good = [(row["ana"] + row["ben"]) / 2 > 1 for row in rows]
    found = gen.held_out([row["judge"] for row in rows], good, alpha=0.1, target=0.8)
    conformal, rule = found.promises
    assert conformal.splits == rule.splits == 200
    assert 0.2 < conformal.mean_share < 1
    assert conformal.mean_bad <= 0.1 + 0.01
    assert rule.missed is not None
    assert rule.missed <= 0.1
    assert found.learnt_from == 300
    assert conformal.texts == 300
    assert found == gen.held_out([row["judge"] for row in rows], good, alpha=0.1, target=0.8)


def test_a_score_that_cannot_be_read_is_unscored_and_never_nought(tmp_path: Path) -> None:
    rows = graded(40)
    for place, broken in enumerate(["", "garbage", "four", "nan", "1e999"]):
        rows[place]["judge"] = broken
    read = gen.recorded(table(tmp_path / "rows.csv", rows), score="judge", label=["ana", "ben"])
    assert int(read.scored.sum()) == 35
    assert sum(read.unscored.values()) == 5
    assert read.unscored["garbage"] == 1
    assert np.isnan(read.scores[:5]).all()


def test_two_labels_by_one_person_for_one_text_are_noted_and_the_later_counts(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "judge": n / 10, "who": "ana", "level": n % 3} for n in range(10)]
    rows.append({"text": "t0", "judge": 0.0, "who": "ana", "level": 2})
    read = gen.recorded(table(tmp_path / "rows.csv", rows), score="judge", label="level", rater="who", text="text")
    assert read.labels[0] == 2
    assert read.notes == ("1 labels by one person for one text came twice: the later counts",)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"s": n / 3, "l": n % 2} for n in range(3)], "3 labels, 1 good and 2 not"),
        ([{"s": n / 50, "l": 1} for n in range(50)], "50 labels, 0 good and 50 not"),
    ],
)
def test_three_labels_or_one_kind_only_calibrate_nothing_and_say_what_is_missing(
    tmp_path: Path, rows: list[dict[str, Any]], words: str
) -> None:
    done = command("judge", "import", table(tmp_path / "f.csv", rows), "--score", "s", "--label", "l", cwd=tmp_path)
    assert done.code == 0
    assert f"no calibration: {words}" in done.out
    assert "label at least 20 texts" in done.out


def test_all_scores_equal_accept_all_or_nothing_and_do_not_stop_the_report(tmp_path: Path) -> None:
    rows = [{"s": 0.5, "l": n % 2} for n in range(60)]
    done = command("judge", "import", table(tmp_path / "f.csv", rows), "--score", "s", "--label", "l", cwd=tmp_path)
    assert done.code == 0
    assert "none of 30 accepted" in done.out
    assert "too weak for that target" in done.out


def test_what_cannot_be_read_is_one_error_with_its_place_and_what_to_do(tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", graded(5))
    (tmp_path / "half.json").write_text('[{"a": 1},')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "latin.csv").write_bytes(b"a,b\n\xe9,1\n")
    cases: list[tuple[list[Path | str], str]] = [
        ([path, "--score", "judgment", "--label", "ana"], "there is no column 'judgment', which --score names"),
        ([path, "--score", "rationale", "--label", "ana"], "no row has a score that can be read in 'rationale'"),
        ([path, "--score", "judge", "--label", "rationale"], "row 2: rationale = 'because'"),
        ([path, path, "--score", "judge", "--label", "ana"], "no column that joins them"),
        ([path, "--score", "judge", "--label", "ana", "--map", "yes"], "--map 'yes' is no word and number"),
        ([path, "--score", "judge", "--label", "ana", "--split", "1.5"], "split is 1.5"),
        ([tmp_path / "half.json", "--score", "a", "--label", "a"], "line 1 is no JSON"),
        ([tmp_path / "list.json", "--score", "a", "--label", "a"], "row 1 is 1, which has no columns"),
        ([tmp_path / "empty.csv", "--score", "a", "--label", "a"], "no row stands in it"),
        ([tmp_path / "latin.csv", "--score", "a", "--label", "a"], "not UTF-8"),
        ([tmp_path / "none.csv", "--score", "a", "--label", "a"], "cannot be read"),
    ]
    for words, named in cases:
        assert named in _said(words), named
    rows = graded(5)
    with pytest.raises(RecipeError, match="two rows have response"):
        gen.recorded([path, table(tmp_path / "g.csv", [rows[0], rows[0]])], score="judge", label="ana", id="response")


def _as_called(words: list[Path | str]) -> None:
    """The command in this process, with its error as it was raised."""
    from thousandfold.gen.import_command import import_judgements

    raw = import_judgements.callback.__wrapped__  # type: ignore[union-attr]
    context = import_judgements.make_context("import", [str(word) for word in words])
    raw(**context.params)


def _said(words: list[Path | str]) -> str:
    try:
        _as_called(words)
    except RecipeError as error:
        return str(error)
    return ""


def test_a_text_that_nobody_labelled_is_no_bad_text_and_is_named(tmp_path: Path) -> None:
    rows = graded(200)
    path = table(tmp_path / "all.csv", [row if n % 2 else {**row, "ana": ""} for n, row in enumerate(rows)])
    half = table(tmp_path / "half.csv", rows[1::2])
    read, wanted = (gen.recorded(file, score="judge", label="ana", text="response") for file in (path, half))
    assert (read.ids, read.good.tolist()) == (wanted.ids, wanted.good.tolist())
    assert read.notes == ("100 texts have no label and are left out",)
    assert gen.held_out(read.scores, read.good, splits=2) == gen.held_out(wanted.scores, wanted.good, splits=2)


def test_rows_without_an_id_are_not_one_text_and_without_a_name_not_one_person(tmp_path: Path) -> None:
    rows = [{"id": n, "who": "ana", "s": n / 9, "l": n % 2} for n in range(30)]
    for column in ("id", "who"):
        path = tmp_path / f"{column}.jsonl"
        less = [{name: value for name, value in row.items() if name != column or n % 3} for n, row in enumerate(rows)]
        path.write_text("".join(json.dumps(row) + "\n" for row in less))
        with pytest.raises(RecipeError, match=f"10 rows have nothing in '{column}'"):
            gen.recorded(path, score="s", label="l", id="id", rater="who")


def test_labels_for_unknown_ids_are_named(tmp_path: Path) -> None:
    one = table(tmp_path / "labels.csv", [{"id": n, "l": n % 2} for n in range(30)])
    other = table(tmp_path / "scores.csv", [{"id": n, "s": n / 9} for n in range(5, 35)])
    read = gen.recorded([one, other], score="s", label="l", id="id")
    assert read.notes == ("5 rows of scores.csv name a text by id that labels.csv lacks: '30', '31', '32' …",)
    assert int(read.scored.sum()) == 25


def test_a_line_of_json_may_hold_separators_of_lines_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": f"a\u2028b\x85c {n}", "s": n / 9, "l": n % 2} for n in range(3)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert len(gen.recorded(path, score="s", label="l", text="text").ids) == 3


def test_a_judge_on_another_scale_than_people_has_no_kappa_with_them(tmp_path: Path) -> None:
    path = table(tmp_path / "rows.csv", [{**row, "level": round(2 * row["judge"])} for row in graded()])
    far, near = (gen.recorded(path, score=score, label=["ana", "ben"]) for score in ("judge", "level"))
    found = gen.people_and_judge(far)
    assert (found.kappa, found.winning) == (None, None)
    assert (gen.people_and_judge(near).kappa or 0) > 0.5
    done = command("judge", "import", path, "--score", "judge", "--label", "ana", cwd=tmp_path)
    assert "no kappa, the scores are not levels of the labels' scale" in done.out


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("split", 0.999)])
def test_a_draw_that_cannot_be_made_is_named(name: str, value: float, tmp_path: Path) -> None:
    path = table(tmp_path / "rows.csv", graded())
    done = command("judge", "import", path, "--score", "judge", "--label", "ana", f"--{name}", str(value), cwd=tmp_path)
    assert done.code == 2
    assert f"{name} is {value}" in done.err
