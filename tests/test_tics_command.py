"""`thousandfold tics`: what it shows of a release, beside what, and how it refuses; caps and facts of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.errors import OutputError, RecipeError
from thousandfold.gen.output import Output
from thousandfold.gen.recipe import load
from thousandfold.gen.references import texts_of
from thousandfold.gen.release import read_manifest
from thousandfold.gen.selection import select_exemplars
from thousandfold.gen.settings import SelectionSettings
from thousandfold.gen.tables import said_by
from thousandfold.gen.tics import LEAST_CAP, family_caps
from thousandfold.gen.tics_report import measure

from ._recipes import RESPECT, small_recipe
from ._runs import command, release_in

PHRASE = "and I will not pretend otherwise"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tics") / "out"
    gen.run(RESPECT, size=60, out=folder)
    return folder


def told(out: Path, *words: str | Path, cwd: Path) -> dict[str, Any]:
    done = command("tics", out, "--json", *words, cwd=cwd)
    assert (done.code, done.err) == (0, "")
    found: dict[str, Any] = done.json
    return found


def test_it_prints_measures_and_rates_beside_the_seeds(out: Path, tmp_path: Path) -> None:
    done = command("tics", out, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{release_in(out).name}: 60 exemplars beside seeds (24)\n")
    for measure_name in (
        "openings_effective",
        "closing_top",
        "compression",
        "shared_8grams",
        "two_sample_auc",
        "card_told",
    ):
        assert f"\n{measure_name} " in done.out
    assert "most frequent phrases (beside seeds):" in done.out


def test_its_json_is_the_library_s_answer(out: Path, tmp_path: Path) -> None:
    found = told(out, cwd=tmp_path)
    assert (found["release"], found["texts"], found["references"]) == (release_in(out).name, 60, {"seeds": 24})
    known = measure(Output.existing(out)).found
    assert found["summary"] == known.summary.to_dicts()
    assert found["tics"] == known.table.to_dicts()
    assert {row["of"] for row in found["summary"] if row["measure"] == "card_told"} >= {"domain", "facet", "stakes"}


def test_a_file_a_release_and_an_output_directory_can_be_the_reference(out: Path, tmp_path: Path) -> None:
    texts = tmp_path / "human.jsonl"
    texts.write_text("".join(json.dumps({"output": f"Text {i} of a person."}) + "\n" for i in range(30)))
    found = told(out, "--reference", texts, "--reference", release_in(out), "--reference", out, cwd=tmp_path)
    assert found["references"] == {str(texts): 30, str(release_in(out)): 60, str(out): 60}
    beside_itself = [row for row in found["tics"] if row["reference"] != str(texts)]
    assert beside_itself == []
    assert {row["kind"] for row in found["tics"]} == {"phrase", "telling"}


def test_limit_bounds_the_tics_of_each_kind(out: Path, tmp_path: Path) -> None:
    texts = tmp_path / "human.txt"
    texts.write_text("\n\n".join(f"Text {i} of a person." for i in range(60)))
    found = told(out, "--reference", texts, "--limit", "2", cwd=tmp_path)
    kinds = [row["kind"] for row in found["tics"]]
    assert max(kinds.count(kind) for kind in set(kinds)) == 2
    assert "and " in command("tics", out, "--reference", texts, "--limit", "2", cwd=tmp_path).out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nowhere"], "error: 'nowhere' does not exist"),
        (
            ["{out}", "--reference", "nothing.txt"],
            "error: nothing.txt cannot be read: No such file or directory",
        ),
        (["{out}", "--reference", "."], "error: the reference '.' is neither a file nor a release"),
        (["{out}", "--reference", "empty.txt"], "error: empty.txt holds no text"),
        (["{out}", "--reference", "broken.jsonl"], "error: broken.jsonl:2 is not valid JSON: "),
        (["{out}", "--reference", "latin.txt"], "error: latin.txt:2 is not UTF-8: byte 0xe9"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_three_parts(
    out: Path, tmp_path: Path, words: list[str], what: str
) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "broken.jsonl").write_text('{"output": "a"}\n{"output": \n')
    (tmp_path / "latin.txt").write_bytes(b"one\ncaf\xe9")
    done = command("tics", *(word.format(out=out) for word in words), cwd=tmp_path)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith(what)
    assert "\n  why: " in done.err
    assert "\n  do:  " in done.err


def test_an_output_directory_without_a_release_says_so(tmp_path: Path) -> None:
    with Output.prepare(tmp_path / "out").ledger():
        pass
    with pytest.raises(OutputError, match="has no release yet") as refused:
        measure(Output.existing(tmp_path / "out"))
    assert "thousandfold run RECIPE" in refused.value.do


@pytest.mark.parametrize(
    ("name", "text", "texts"),
    [
        ("a.txt", "One text,\nof two lines.\n\n \nAnother.\n", ["One text,\nof two lines.", "Another."]),
        ("a.jsonl", '"one"\n\n{"text": "two"}\n{"response": "three"}\n', ["one", "two", "three"]),
        ("a.json", '[{"instruction": "?", "output": "one"}, {"instances": [{"output": "two"}]}]', ["one", "two"]),
        (
            "a.jsonl",
            '{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "one"}]}',
            ["one"],
        ),
    ],
)
def test_a_reference_file_is_read_as_it_is_written(name: str, text: str, texts: list[str]) -> None:
    assert texts_of(Path(name), text.encode(), part="answer") == texts


def test_a_record_without_a_text_is_named_by_its_line() -> None:
    with pytest.raises(RecipeError, match=r"^a\.jsonl:2 has no answer: it holds the keys prompt"):
        texts_of(Path("a.jsonl"), b'{"output": "a"}\n{"prompt": "b"}\n', part="answer")


def test_the_reference_file_is_part_of_the_recipe_its_hash_and_its_releases(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path / "recipe")
    before = load(folder).sha256
    settings = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(settings + '\n[tics]\nreference = "people/texts.txt"\n')
    with pytest.raises(RecipeError, match=r"people/texts\.txt is missing"):
        load(folder)
    (folder / "people").mkdir()
    (folder / "people" / "texts.txt").write_text("\n\n".join(f"A text {i} by people." for i in range(20)))
    named = load(folder).sha256
    (folder / "people" / "texts.txt").write_text("Another text.")
    assert len({before, named, load(folder).sha256}) == 3
    release = gen.run(folder, size=6, out=tmp_path / "out").release
    assert release is not None
    assert (release / "recipe" / "people" / "texts.txt").read_text() == "Another text."
    assert read_manifest(release)["tics"]["reference"] == "people/texts.txt"
    (folder / "people" / "texts.txt").unlink()  # the release has its own
    assert list(measure(Output.existing(tmp_path / "out")).references) == ["seeds", "people/texts.txt"]


@pytest.mark.parametrize("name", ["../texts.txt", "/etc/hostname", "./texts.txt", "a\u0007b"])
def test_a_reference_outside_the_recipe_is_refused(tmp_path: Path, name: str) -> None:
    folder = small_recipe(tmp_path / "recipe")
    with pytest.raises(RecipeError, match="is no file in the recipe's directory") as refused:
        load(folder, {"tics.reference": name})
    assert repr(name) in refused.value.what


def pool(count: int, opening: str, *, alike: int) -> pl.DataFrame:
    """Drafts of one facet, of which the first `alike` begin with the same words and are the best."""
    names = [f"{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(count)]  # numbers would all be one word
    texts = [
        f"{opening} {name}. The {name} is so." if i < alike else f"Way{name} begins here. It{name} ends so."
        for i, name in enumerate(names)
    ]
    return pl.DataFrame(
        {
            "id": [f"d-{i}" for i in range(count)],
            "messages": [[{"role": "user", "content": "?"}, {"role": "assistant", "content": text}] for text in texts],
            "_quality": [1.0 if i < alike else 0.5 for i in range(count)],
        }
    )


def capped(tmp_path: Path, size: int, drafts: pl.DataFrame, **settings: float) -> Any:
    recipe = load(
        small_recipe(tmp_path / "recipe"),
        {"size": size, "selection.quota_share": 0.0, **{f"selection.{key}": value for key, value in settings.items()}},
    )
    levels = {axis: pl.lit(known[0]) for axis, known in recipe.train_levels.items()}
    return select_exemplars(drafts.with_columns(**levels), recipe)


def test_no_more_exemplars_begin_alike_than_the_cap_allows_and_the_set_is_full(tmp_path: Path) -> None:
    chosen = capped(tmp_path, 100, pool(200, "Thank you for telling me", alike=80), opening_cap=0.3, closing_cap=1.0)
    said = said_by(chosen.frame, "assistant")
    assert chosen.frame.height == 100
    assert said.str.starts_with("Thank you for").sum() == 30
    assert chosen.capped.height == 0
    assert {"_opening", "_closing", "_answer"} & set(chosen.frame.columns) == set()


def test_a_cap_of_one_is_no_cap(tmp_path: Path) -> None:
    chosen = capped(tmp_path, 100, pool(200, "Thank you for telling me", alike=80), opening_cap=1.0, closing_cap=1.0)
    assert said_by(chosen.frame, "assistant").str.starts_with("Thank you for").sum() == 80


def test_places_that_a_cap_left_empty_are_named_by_the_full_family(tmp_path: Path) -> None:
    chosen = capped(tmp_path, 100, pool(120, "Thank you for telling me", alike=90), opening_cap=0.4, closing_cap=1.0)
    assert chosen.frame.height == 40 + 30
    assert chosen.capped.rows() == [("opening", "thank you for", 40, 50)]


def test_a_small_set_is_never_made_impossible_by_a_cap() -> None:
    settings = SelectionSettings()
    assert family_caps(settings, LEAST_CAP) == {}
    assert family_caps(settings, 100) == {"_opening": LEAST_CAP, "_closing": LEAST_CAP}
    assert family_caps(settings, 1001) == {"_opening": 51, "_closing": 51}


def test_the_manifest_and_the_card_tell_the_tics(out: Path) -> None:
    release = release_in(out)
    tics = read_manifest(release)["tics"]
    assert (tics["texts"], tics["reference"]) == (60, "seeds")
    assert 1 < tics["openings"]["effective"] <= tics["openings"]["families"] <= 60
    assert len(tics["phrases"]) == 5
    card = (release / "README.md").read_text(encoding="utf-8")
    assert (
        f"- openings: {tics['openings']['families']} families, as even as {tics['openings']['effective']:.1f}" in card
    )
    assert f"“{tics['phrases'][0]['phrase']}”" in card
