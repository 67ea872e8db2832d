"""A recipe to begin with: it runs as it is, takes seeds of every shape, and leaves nothing behind where it fails."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from thousandfold import gen
from thousandfold.gen.errors import OutputError, RecipeError
from thousandfold.gen.init import write_starter
from thousandfold.gen.recipe import load
from thousandfold.gen.seeds import read_seeds
from thousandfold.gen.settings import Settings

from ._runs import ROOT, command, release_in

REAL_SEEDS = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", ROOT.parent / "shared" / "data")) / (
    "self_instruct_seed_tasks.jsonl"
)

TURNS = [{"role": "user", "content": "May I?"}, {"role": "assistant", "content": "You may, because it is yours."}]
RECORDS = {
    "messages": {"messages": TURNS},
    "flat": {"instruction": "Name a tree.", "input": "", "output": "An oak, since you can see one from here."},
    "with input": {"instruction": "Shorten this.", "input": "It is a very long text.", "output": "A long text."},
    "nested": {"id": "t1", "instruction": "Add.", "instances": [{"input": "1 and 2", "output": "They make 3."}]},
}
MARKDOWN = "## user\nMay I?\n\n## assistant\nYou may, because it is yours.\n"


def seeds_of(folder: Path) -> list[str]:
    """The last turn of each seed of a recipe."""
    return [messages[-1]["content"] for messages in read_seeds(load(folder))["messages"]]


def test_the_starter_runs_as_it_is(tmp_path: Path) -> None:
    said = command("init", "mine", cwd=tmp_path)
    assert (said.code, said.out) == (0, "mine\n")
    assert said.err == "a recipe with 3 seeds; next: thousandfold plan mine\n"
    run = command("run", "mine", "--size", "20", "--json", cwd=tmp_path)
    assert (run.code, run.json["accepted"], run.json["shortfalls"]) == (0, 20, [])
    assert command("verify", "outputs/mine", cwd=tmp_path).code == 0


def test_the_starter_shows_every_default_as_it_is(tmp_path: Path) -> None:
    write_starter(tmp_path / "mine")
    text = (tmp_path / "mine" / "recipe.toml").read_text(encoding="utf-8")
    written = Settings.model_validate_json(json.dumps(tomllib.loads(text)))
    assert written == Settings(name="mine")


@pytest.mark.parametrize("shape", RECORDS)
def test_seeds_of_every_shape_in_one_jsonl_file(shape: str, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text(json.dumps(RECORDS[shape]) + "\n\n", encoding="utf-8")
    assert write_starter(tmp_path / "mine", tmp_path / "own.jsonl") == 1
    wanted = {"messages": "You may, because it is yours.", "flat": "An oak, since you can see one from here."}
    wanted |= {"with input": "A long text.", "nested": "They make 3."}
    assert seeds_of(tmp_path / "mine") == [wanted[shape]]


def test_a_list_in_a_json_file_a_markdown_file_and_a_directory_of_both(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "list.json").write_text(json.dumps(list(RECORDS.values())), encoding="utf-8")
    (own / "talk.md").write_text(MARKDOWN.replace("yours", "ours"), encoding="utf-8")
    (own / "notes.txt").write_text("not a seed", encoding="utf-8")
    assert write_starter(tmp_path / "of-json", own / "list.json") == 4
    assert write_starter(tmp_path / "of-markdown", own / "talk.md") == 1
    assert write_starter(tmp_path / "of-both", own) == 5
    assert sorted(path.name for path in (tmp_path / "of-both" / "seeds").iterdir()) == ["list.jsonl", "talk.md"]


def test_an_empty_directory_is_filled_and_parents_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_starter(tmp_path / "empty")
    write_starter(tmp_path / "a" / "b" / "c")
    assert load(tmp_path / "empty").settings.name == "empty"
    assert load(tmp_path / "a" / "b" / "c").settings.name == "c"


@pytest.mark.parametrize(
    ("folder", "name"), [("Größe & Mut!", "Gr-e-Mut"), ("...", "recipe"), ("-x-", "x"), ("a" * 99, "a" * 64)]
)
def test_the_recipe_is_named_after_its_directory_in_plain_letters(folder: str, name: str, tmp_path: Path) -> None:
    write_starter(tmp_path / folder)
    assert load(tmp_path / folder).settings.name == name


def test_here_is_a_directory_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "values").mkdir()
    monkeypatch.chdir(tmp_path / "values")
    write_starter(Path("."))
    assert load(".").settings.name == "values"


def _write(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        (lambda folder: folder / "nowhere.jsonl", "nowhere.jsonl' does not exist"),
        (_write("own.csv", b"a,b"), "is of the unknown kind .csv"),
        (_write("own", b"a"), "is of the unknown kind without suffix"),
        (_write("own.jsonl", b'{"messages": []}\n'), "own.jsonl:1 is not a conversation"),
        (_write("own.jsonl", b'{"a": 1}\n{"b"\n'), "own.jsonl:1 is not a conversation: its keys are a"),
        (_write("own.jsonl", b"\n{]\n"), "own.jsonl:2 is not valid JSON"),
        (_write("own.jsonl", b""), "holds no seed"),
        (_write("own.jsonl", b'{"instruction": "\xff"}'), "own.jsonl:1 is not UTF-8: byte 0xff"),
        (_write("own.json", b'{"messages": []}'), "own.json holds a dict, not a list"),
        (_write("own.json", b"[\n{"), "own.json:2 is not valid JSON"),
        (_write("own.json", b"\xff"), "own.json:1 is not UTF-8"),
        (_write("own.md", b"hello"), "own.md:1 is not a conversation: text before the first turn: 'hello'"),
    ],
)
def test_seeds_that_cannot_be_used_are_refused_by_their_own_name_and_nothing_is_left(
    seeds: Callable[[Path], Path], sentence: str, tmp_path: Path
) -> None:
    own = tmp_path / "own-folder"
    own.mkdir()
    path = seeds(own)
    with pytest.raises(RecipeError) as caught:
        write_starter(tmp_path / "mine", path)
    assert sentence in caught.value.what
    assert ".thousandfold-" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["own-folder"]


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.toml").write_text("mine", encoding="utf-8")
    for folder in (tmp_path / "mine", tmp_path / "mine" / "recipe.toml"):
        with pytest.raises(OutputError, match="exists and is not an empty directory"):
            write_starter(folder)
    assert (tmp_path / "mine" / "recipe.toml").read_text(encoding="utf-8") == "mine"


def test_175_real_tasks_that_nobody_here_wrote_make_a_release(tmp_path: Path) -> None:
    if not REAL_SEEDS.is_file():
        pytest.skip(f"{REAL_SEEDS} is not here; THOUSANDFOLD_TEST_DATA names the folder that holds it")
    said = command("init", "mine", "--seeds", REAL_SEEDS, cwd=tmp_path)
    assert (said.code, said.err) == (0, "a recipe with 175 seeds; next: thousandfold plan mine\n")
    run = command("run", "mine", "--size", "40", "--json", cwd=tmp_path)
    assert (run.code, run.json["accepted"], run.json["shortfalls"]) == (0, 40, [])
    out = tmp_path / "outputs" / "mine"
    assert gen.load(out).exemplars.height == 40
    line = json.loads((release_in(out) / "train" / "sft.jsonl").read_text(encoding="utf-8").splitlines()[0])
    told = command("trace", "outputs/mine", line["id"], "--json", cwd=tmp_path).json
    assert told["seed"]["source"] == REAL_SEEDS.name
    shutil.rmtree(out)
