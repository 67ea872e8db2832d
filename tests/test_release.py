"""The release: whole or not at all, never touched again, and every byte of it accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold.gen.errors import DamageError, OutputError
from thousandfold.gen.output import LATEST, Output
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.release import check_release, read_manifest, read_table, write_release
from thousandfold.gen.tables import MESSAGES

from ._recipes import FILES, ROOT, small_recipe

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ODD = 'a "quote", {braces}, R&D, “curly”, 🙂, \u2028 a separator, \x1b[31mred, a \\ and\ttabs\n\nlines'


def exemplars(words: str = "Mend it.", count: int = 3) -> pl.DataFrame:
    """Rows with a column more than a trainer needs."""
    rows = [
        {
            "id": f"d-{i}",
            "messages": [{"role": "user", "content": f"What now, {i}?"}, {"role": "assistant", "content": words}],
            "gain": 1.0,
        }
        for i in range(count)
    ]
    return pl.DataFrame(rows, schema={"id": pl.String, "messages": MESSAGES, "gain": pl.Float64}, orient="row")


def heldout() -> pl.DataFrame:
    turn = [{"role": "user", "content": "And then?"}]
    rows = [{"id": f"h-{name}", "set": name, "messages": turn} for name in ("id", "lodo", "lodo")]
    return pl.DataFrame(rows, schema={"id": pl.String, "set": pl.String, "messages": MESSAGES}, orient="row")


def write(
    output: Output, recipe: Recipe, *, words: str = "Mend it.", rows: int = 1, days: int = 0
) -> tuple[Path, bool]:
    table = pl.DataFrame({"id": [f"d-{row}" for row in range(rows)], "n": [row * 7919 % 9973 for row in range(rows)]})
    made = write_release(
        output,
        recipe,
        {"drafts": table, "verdicts": table.clear()},
        exemplars=exemplars(words),
        heldout=heldout(),
        facts={"settings": {"size": 3}, "exit": 0},
        card="# Release {name}\n",
        now=NOON + timedelta(days=days),
    )
    return made.path, made.new


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return load(small_recipe(tmp_path / "recipe"))


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    prepared = Output.prepare(tmp_path / "out")
    with prepared.ledger():
        yield prepared


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_release_holds_exactly_the_promised_files(output: Output, recipe: Recipe) -> None:
    path, new = write(output, recipe)
    assert new
    assert set(files_of(path)) == {
        "README.md",
        "manifest.json",
        "manifest.sha256",
        "train/sft.jsonl",
        "heldout/id.jsonl",
        "heldout/lodo.jsonl",
        "tables/drafts.parquet",
        "tables/verdicts.parquet",
        *(f"recipe/{name}" for name in FILES),
    }
    assert (path / "README.md").read_text(encoding="utf-8") == f"# Release {path.name}\n"
    assert files_of(path / "recipe") == dict(recipe.files)
    assert read_table(path, "drafts").rows() == [("d-0", 0)]
    assert check_release(path) == []


def test_its_name_is_the_date_and_a_hash_of_the_content(output: Output, recipe: Recipe) -> None:
    path, _ = write(output, recipe)
    manifest = read_manifest(path)
    assert path.name == f"2026-11-23-{manifest['content_sha256'][:6]}" == manifest["name"]
    assert (manifest["created"], manifest["settings"], manifest["exit"]) == (
        "2026-11-23T12:00:00+00:00",
        {"size": 3},
        0,
    )
    for name, entry in manifest["files"].items():
        data = (path / name).read_bytes()
        assert entry == {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    assert set(manifest["files"]) == set(files_of(path)) - {"manifest.json", "manifest.sha256"}


def test_each_line_for_a_trainer_has_an_id_and_messages_and_any_text_arrives_as_it_was(
    output: Output, recipe: Recipe
) -> None:
    path, _ = write(output, recipe, words=ODD)
    data = (path / "train" / "sft.jsonl").read_bytes()
    lines = data.decode("utf-8").split("\n")
    assert lines.pop() == ""
    assert [list(json.loads(line)) for line in lines] == [["id", "messages"]] * 3
    for number, line in enumerate(lines):
        record = json.loads(line)
        assert record["id"] == f"d-{number}", "the greedy order is the order of the lines"
        assert [list(turn) for turn in record["messages"]] == [["role", "content"]] * 2
        assert record["messages"][1] == {"role": "assistant", "content": ODD}
    sealed = [json.loads(line) for line in (path / "heldout" / "lodo.jsonl").read_text("utf-8").splitlines()]
    assert [list(record) for record in sealed] == [["id", "messages"]] * 2


def test_the_same_content_makes_no_second_release_whatever_the_day(output: Output, recipe: Recipe) -> None:
    path, _ = write(output, recipe)
    before = files_of(path)
    assert write(output, recipe, days=3) == (path, False)
    assert output.releases() == [path]
    assert files_of(path) == before
    assert list(output.releases_path.iterdir()) == [path]


def test_other_content_is_another_release_and_latest_follows(output: Output, recipe: Recipe) -> None:
    first, _ = write(output, recipe)
    before = files_of(first)
    second, new = write(output, recipe, words="Leave it.")
    assert new
    assert output.releases() == sorted([first, second])
    assert output.latest() == second
    assert files_of(first) == before
    assert write(output, recipe, days=1) == (first, False)
    assert output.latest() == first
    assert not (output.path / ".LATEST.tmp").exists()


def test_content_whose_short_name_is_taken_gets_a_longer_one(output: Output, recipe: Recipe) -> None:
    path, _ = write(output, recipe)
    content = read_manifest(path)["content_sha256"]
    (path / "manifest.json").unlink()  # now it is not known as that content any more
    again, new = write(output, recipe)
    assert new
    assert again.name == f"2026-11-23-{content[:16]}"
    assert check_release(again) == []


def test_a_changed_recipe_is_changed_content(output: Output, recipe: Recipe, tmp_path: Path) -> None:
    first, _ = write(output, recipe)
    other = load(small_recipe(tmp_path / "recipe", {"seeds/gate.md": None, "axes.toml": FILES["axes.toml"] + "\n"}))
    second, new = write(output, other)
    assert new
    assert second != first


def damaged(path: Path, how: str) -> None:
    drafts = path / "tables" / "drafts.parquet"
    if how == "one byte":
        data = bytearray(drafts.read_bytes())
        data[20] ^= 1
        drafts.write_bytes(data)
    elif how == "missing":
        drafts.unlink()
    elif how == "a folder in its place":
        drafts.unlink()
        drafts.mkdir()
    elif how == "extra":
        (path / "train" / "more.jsonl").write_text("{}", encoding="utf-8")
    elif how == "dangling link":
        (path / "link").symlink_to("nowhere")
    elif how == "manifest":
        manifest = path / "manifest.json"
        manifest.write_text(manifest.read_text(encoding="utf-8").replace('"exit": 0', '"exit": 1'), encoding="utf-8")
    elif how == "no manifest":
        (path / "manifest.json").unlink()
    elif how == "broken manifest":
        (path / "manifest.json").write_bytes(b"\xff{")
    elif how == "no sum":
        (path / "manifest.sha256").unlink()
    elif how == "broken sum":
        (path / "manifest.sha256").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(
    ("how", "finding"),
    [
        ("one byte", "NAME/tables/drafts.parquet: changed (SIZE bytes, SIZE were written)"),
        ("missing", "NAME/tables/drafts.parquet: missing"),
        ("a folder in its place", "NAME/tables/drafts.parquet: missing"),
        ("extra", "NAME/train/more.jsonl: not in the manifest"),
        ("dangling link", "NAME/link: not in the manifest"),
        ("manifest", "NAME/manifest.json: its sha256 is not the one in NAME/manifest.sha256"),
        ("no sum", "NAME/manifest.sha256: No such file or directory"),
        ("broken sum", "NAME/manifest.json: its sha256 is not the one in NAME/manifest.sha256"),
    ],
)
def test_every_kind_of_damage_is_one_sentence(output: Output, recipe: Recipe, how: str, finding: str) -> None:
    path, _ = write(output, recipe)
    size = str((path / "tables" / "drafts.parquet").stat().st_size)
    damaged(path, how)
    assert check_release(path) == [finding.replace("NAME", path.name).replace("SIZE", size)]


@pytest.mark.parametrize("how", ["no manifest", "broken manifest"])
def test_a_release_without_a_readable_manifest_is_damaged(output: Output, recipe: Recipe, how: str) -> None:
    path, _ = write(output, recipe)
    damaged(path, how)
    [finding] = check_release(path)
    assert finding.startswith(f"{path.name}/manifest.json: {path / 'manifest.json'} cannot be read: ")
    with pytest.raises(DamageError) as caught:
        read_manifest(path)
    assert caught.value.why == "it says what the release holds"


def test_a_table_that_cannot_be_read_is_damage(output: Output, recipe: Recipe) -> None:
    path, _ = write(output, recipe)
    (path / "tables" / "drafts.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DamageError) as caught:
        read_table(path, "drafts")
    assert caught.value.what.startswith(f"{path / 'tables' / 'drafts.parquet'} cannot be read: ")
    assert "\n" not in caught.value.what


def test_latest_that_names_nothing_is_said_so(output: Output, recipe: Recipe) -> None:
    assert output.latest() is None
    write(output, recipe)
    (output.path / LATEST).write_text("gone\n", encoding="utf-8")
    with pytest.raises(OutputError, match="names 'gone', which is not in"):
        output.latest()


SCRIPT = """
import json, os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import thousandfold.gen.output as output_module
import thousandfold.gen.release as release_module
from tests.test_release import write
from thousandfold.gen.output import Output
from thousandfold.gen.recipe import load

def die_at(number):
    honest, done = output_module.sync, [0]
    def deadly(path):
        if done[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        done[0] += 1
        honest(path)
    release_module.sync = output_module.sync = deadly

def child(folder, how, number, arguments):
    die_at(number) if how == "kill" else resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
    said = "done"
    try:
        write(Output(folder / "out"), load(folder / "recipe"), **arguments)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".replace(str(folder), "DIR")
    os.write(1, json.dumps([folder.name, said]).encode() + b"\\n")
    os._exit(0)

jobs = json.loads(sys.argv[2])
load(Path(jobs[0][0]) / "recipe")  # imports what a recipe needs, once for all
for folder, *job in jobs:
    if not (pid := os.fork()):
        child(Path(folder), *job)
    os.waitpid(pid, 0)
"""


def prepared(folder: Path) -> tuple[Output, Recipe, Path]:
    """An output directory with one release in it."""
    recipe = load(small_recipe(folder / "recipe"))
    output = Output.prepare(folder / "out")
    with output.ledger():
        return output, recipe, write(output, recipe)[0]


def in_processes(jobs: list[tuple[Path, str, int, dict[str, Any]]]) -> dict[str, str]:
    """Each job writes a release in a process of its own; what they said, by folder. The killed are silent."""
    wanted = json.dumps([[str(folder), *job] for folder, *job in jobs])
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(ROOT), wanted], capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines())


NEW: dict[str, Any] = {"words": "Never mind.", "rows": 3}


def test_a_kill_at_any_moment_of_writing_leaves_nothing_broken(tmp_path: Path) -> None:
    moments = (0, 6, 9, 12, 19, 20, 21)  # 13 files and 7 folders are flushed, then the release has its name
    before = {number: prepared(tmp_path / str(number)) for number in moments}
    said = in_processes([(tmp_path / str(number), "kill", number, NEW) for number in moments])
    assert said == {}, "the last moments are no longer moments of writing"
    for number, (output, recipe, first) in before.items():
        assert any(path.name.startswith(".tmp-") for path in output.releases_path.iterdir()) is (number < 20)
        assert output.latest() == first
        assert len(output.releases()) == (1 if number < 20 else 2)
        for release in output.releases():
            assert check_release(release) == []
        second, _ = write(output, recipe, **NEW)
        assert output.latest() == second != first
        assert sorted(output.releases_path.iterdir()) == sorted([first, second])
        assert check_release(first) == check_release(second) == []


FULL = """StorageError: writing to DIR/out/releases failed: File too large
  why: nothing half-written is kept as a release, and the ledger is as it was
  do:  free space or mend the disk, then run the same command again: it resumes"""


def test_a_full_disk_is_one_clear_error_and_no_release_is_made_or_damaged(tmp_path: Path) -> None:
    jobs: list[tuple[Path, str, int, dict[str, Any]]] = [
        (tmp_path / "train", "full", 4_000, {"words": "x" * 5_000}),
        (tmp_path / "tables", "full", 8_000, {"rows": 20_000}),
        (tmp_path / "manifest", "full", 2_000, NEW),
        (tmp_path / "room", "full", 200_000, NEW),
    ]
    before = {folder.name: prepared(folder) for folder, *_ in jobs}
    assert in_processes(jobs) == {"train": FULL, "tables": FULL, "manifest": FULL, "room": "done"}
    for name, (output, _, first) in before.items():
        assert check_release(first) == []
        if name != "room":
            assert list(output.releases_path.iterdir()) == [first]
            assert output.latest() == first


def test_what_a_crash_left_behind_is_no_release_and_is_swept_away(output: Output, recipe: Recipe) -> None:
    left = output.releases_path / ".tmp-0123abcd"
    (left / "train").mkdir(parents=True)
    (left / "train" / "sft.jsonl").write_text("half a li", encoding="utf-8")
    assert output.releases() == []
    path, _ = write(output, recipe)
    assert list(output.releases_path.iterdir()) == [path]
