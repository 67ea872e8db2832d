"""A teacher that goes down: parked, said, and its share goes to the others, or the run stops; and the same again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from thousandfold import gen
from thousandfold.gen.events import Event
from thousandfold.gen.release import read_manifest

from ._billing import billing
from ._recipes import RECIPE, small_recipe
from ._runs import Scripted, content, plain_reply

TWO = """
[judge]
model = "none"
[run]
when_down = "move"
[heldout]
share = 0
"""


def run(folder: Path, out: Path, teachers: Sequence[Any], **options: Any) -> tuple[gen.Run, list[str]]:
    """The run, and what it said to a person."""
    notes: list[str] = []

    def hear(event: Event) -> None:
        if event.kind == "note":
            notes.append(event.fields["text"])

    return gen.run(folder, out=out, teacher=list(teachers), on_event=hear, **options), notes


def manifest(done: gen.Run) -> Any:
    assert done.release is not None
    return read_manifest(done.release)


def drafts(done: gen.Run) -> dict[str, int]:
    """Drafts by teacher, as the manifest counts them."""
    return {teacher["model"]: teacher["drafts"] for teacher in manifest(done)["models"]["teachers"]}


def healthy(model: str) -> Scripted:
    return Scripted(plain_reply, model=model)


def failing(model: str, *, after: int) -> Scripted:
    """Answers `after` asks, and is out of reach from then on."""

    def reply(ask: gen.Ask) -> str:
        if len(teacher.asked) > after:
            raise gen.TeacherError(what=f"{model} did not answer", why="an outage", do="wait")
        return plain_reply(ask)

    teacher = Scripted(reply, model=model)
    return teacher


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_recipe(tmp_path / "recipe", {"recipe.toml": RECIPE + TWO})


def test_several_teachers_share_the_contexts_and_the_release_counts_their_drafts(folder: Path, tmp_path: Path) -> None:
    done, notes = run(folder, tmp_path / "out", [healthy("test:a"), healthy("test:b")])
    assert done.summary["accepted"] == 20
    assert notes == [] or "parked" not in " ".join(notes)
    counts = drafts(done)
    assert min(counts["test:a"], counts["test:b"]) >= 3
    told = manifest(done)["models"]["teachers"]
    assert sum(teacher["selected"] for teacher in told) == 20
    assert done.release is not None
    card = (done.release / "README.md").read_text(encoding="utf-8")
    assert f"- teacher: `test:a` (family writers), share 50%: {counts['test:a']} drafts" in card


def test_a_parked_teachers_contexts_go_to_the_other_and_the_ledger_plays_it_again(folder: Path, tmp_path: Path) -> None:
    out, copy = tmp_path / "out", tmp_path / "copy"
    down, up = failing("test:a", after=4), healthy("test:b")
    first, notes = run(folder, out, [down, up])
    assert first.summary["accepted"] == 20
    said = [note for note in notes if "parked" in note]
    assert said == [
        "test:a is parked for the rest of this run, and test:b takes its contexts over: test:a did not answer"
    ]
    assert len(down.asked) == 5  # not one more after it went down
    assert drafts(first)["test:b"] > drafts(first)["test:a"]
    copy.mkdir()
    shutil.copy(out / "ledger.sqlite", copy)
    offline, _ = run(folder, copy, [healthy("test:a"), healthy("test:b")], offline=True)
    assert content(offline.release) == content(first.release)
    again, _ = run(folder, out, [healthy("test:a"), healthy("test:b")])  # both are well: what there is stays as it is
    assert (again.summary["asked"], again.summary["new"]) == (0, False)
    well = healthy("test:a")
    larger, _ = run(folder, out, [well, healthy("test:b")], size=40)
    assert larger.summary["accepted"] == 40
    assert well.asked  # and it has its share again of what is new


def test_with_pause_the_run_stops_and_resumes(folder: Path, tmp_path: Path) -> None:
    text = (folder / "recipe.toml").read_text(encoding="utf-8").replace('"move"', '"pause"')
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    up = healthy("test:b")
    with pytest.raises(gen.TeacherError, match="test:a did not answer"):
        run(folder, tmp_path / "out", [failing("test:a", after=4), up])
    done, _ = run(folder, tmp_path / "out", [healthy("test:a"), healthy("test:b")])
    assert done.summary["replayed"] >= 4
    straight, _ = run(folder, tmp_path / "straight", [healthy("test:a"), healthy("test:b")])
    assert content(done.release) == content(straight.release)


def test_the_last_teacher_that_goes_down_stops_the_run(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(gen.TeacherError, match="did not answer"):
        run(folder, tmp_path / "out", [failing("test:a", after=3), failing("test:b", after=6)])


def test_over_http_a_key_that_expires_in_mid_run_parks_its_teacher(folder: Path, tmp_path: Path) -> None:
    with billing(denied={"a": 7}) as meter:
        done, notes = run(folder, tmp_path / "out", [f"openai:{name}@{meter.url}" for name in "ab"])
        assert done.summary["accepted"] == 20
        assert meter.asked["a"] == 7
        assert sum(meter.asked.values()) == done.summary["asked"]
    (said,) = [note for note in notes if "parked" in note]
    assert said.startswith(
        "openai:a is parked for the rest of this run, and openai:b takes its contexts over: openai:a"
    )
    assert "this key has expired" in said


def test_a_cap_on_one_teacher_holds_and_what_it_leaves_empty_is_said(folder: Path, tmp_path: Path) -> None:
    with (folder / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write("[selection]\nteacher_cap = 0.5\n")
    done, _ = run(folder, tmp_path / "out", [failing("test:a", after=4), healthy("test:b")])
    told = {teacher["model"]: teacher["selected"] for teacher in manifest(done)["models"]["teachers"]}
    assert told["test:b"] == 10
    assert ("teacher", "test:b", 10) in [(c["family"], c["value"], c["limit"]) for c in done.summary["capped"]]
