"""The replay law: what is made is a function of recipe and ledger, whoever runs it, how fast, and how often."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thousandfold import gen, prompts

from .._runs import RESPECT, command, content, copied

SIZE = 24


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> gen.Run:
    """One run of the example, whose output directory no test changes."""
    return gen.run(RESPECT, size=SIZE, out=tmp_path_factory.mktemp("whole") / "out")


def out_of(run: gen.Run) -> Path:
    assert run.release is not None
    return run.release.parent.parent


def with_ledger_of(run: gen.Run, out: Path) -> Path:
    """An output directory that holds a copy of a run's ledger and nothing else."""
    out.mkdir()
    shutil.copy(out_of(run) / "ledger.sqlite", out)
    return out


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(size=st.integers(12, 32), seed=st.integers(0, 2**31 - 1), hash_seeds=st.permutations(("1", "77")))
def test_one_or_64_at_once_in_other_processes_and_offline_write_the_same_bytes(
    size: int, seed: int, hash_seeds: list[str]
) -> None:
    common = ("--size", str(size), "--seed", str(seed), "--json")
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = gen.run(RESPECT, size=size, seed=seed, out=folder / "here", concurrency=7)
        made = content(first.release)
        for at_once, hash_seed in zip(("1", "64"), hash_seeds, strict=True):
            words = ("run", RESPECT, *common, "--out", at_once, "--concurrency", at_once)
            told = command(*words, cwd=folder, env={"PYTHONHASHSEED": hash_seed}).json
            assert content(folder / told["release"]) == made
            assert told["asked"] == first.summary["asked"]
        offline = gen.run(
            RESPECT, size=size, seed=seed, out=with_ledger_of(first, folder / "copy"), offline=True, concurrency=1
        )
        assert content(offline.release) == made
        assert offline.summary["asked"] == 0
        assert offline.summary["replayed"] == first.summary["asked"]
        assert offline.summary["paid_usd"] == 0


def test_a_second_run_asks_nothing_and_makes_no_second_release(whole: gen.Run) -> None:
    out = out_of(whole)
    before = content(out, "releases")
    again = gen.run(RESPECT, size=SIZE, out=out)
    assert (again.summary["asked"], again.summary["replayed"]) == (0, whole.summary["asked"])
    assert (again.release, again.summary["new"]) == (whole.release, False)
    assert content(out, "releases") == before
    assert again.exemplars.equals(whole.exemplars)


def test_a_larger_run_replays_what_it_can_and_writes_what_a_fresh_one_would(tmp_path: Path) -> None:
    small = gen.run(RESPECT, size=SIZE, out=tmp_path / "grown")
    grown = gen.run(RESPECT, size=2 * SIZE, out=tmp_path / "grown")
    fresh = gen.run(RESPECT, size=2 * SIZE, out=tmp_path / "fresh")
    assert grown.summary["asked"] + grown.summary["replayed"] == fresh.summary["asked"]
    kept = grown.summary["replayed"] / small.summary["asked"]
    print(f"of the replies of size {SIZE}, size {2 * SIZE} uses {kept:.0%} again")  # noqa: T201
    assert kept > 0.8
    assert content(grown.release) == content(fresh.release)


def test_going_back_to_a_smaller_size_asks_nothing_and_finds_its_release(tmp_path: Path) -> None:
    small = gen.run(RESPECT, size=SIZE, out=tmp_path)
    gen.run(RESPECT, size=SIZE + 8, out=tmp_path)
    back = gen.run(RESPECT, size=SIZE, out=tmp_path)
    assert (back.summary["asked"], back.summary["new"], back.release) == (0, False, small.release)
    assert gen.load(tmp_path).release == small.release


@pytest.mark.parametrize(
    ("question", "kept", "asked_again"),
    [
        ("evidence", {"scenario", "exemplar", "level"}, {"evidence"}),
        ("level", {"scenario", "exemplar", "evidence"}, {"level"}),
        ("exemplar", {"scenario"}, {"exemplar", "level", "evidence"}),
    ],
)
def test_an_edited_prompt_pays_for_what_hangs_on_it_only(
    question: str, kept: set[str], asked_again: set[str], whole: gen.Run, tmp_path: Path
) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    (recipe / "prompts").mkdir()
    words = (Path(prompts.__file__).parent / f"{question}.md").read_text(encoding="utf-8")
    (recipe / "prompts" / f"{question}.md").write_text(words.rstrip() + "\nTake your time.\n", encoding="utf-8")
    out = with_ledger_of(whole, tmp_path / "out")
    counted = dict.fromkeys(("scenario", "exemplar", "level", "evidence"), 0)

    def count(event: gen.Event) -> None:
        if event.kind == "replies":
            counted[event.fields["purpose"]] += event.fields["asked"]

    run = gen.run(recipe, size=SIZE, out=out, on_event=count)
    share = run.summary["asked"] / (run.summary["asked"] + run.summary["replayed"])
    print(f"after an edited {question}.md {share:.0%} of {SIZE} exemplars' replies were asked again: {counted}")  # noqa: T201
    assert {purpose for purpose, asked in counted.items() if asked > SIZE / 4} == asked_again
    assert sum(counted[purpose] for purpose in kept) <= SIZE / 4  # redraws of other drafts may be dropped now


def test_one_more_seed_pays_for_little_more_than_its_own_contexts(whole: gen.Run, tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    text = (recipe / "seeds" / "criticism_coffee_van.md").read_text(encoding="utf-8")
    (recipe / "seeds" / "criticism_second_van.md").write_text(text.replace("coffee", "tea"), encoding="utf-8")
    run = gen.run(recipe, size=SIZE, out=with_ledger_of(whole, tmp_path / "out"))
    share = run.summary["asked"] / (run.summary["asked"] + run.summary["replayed"])
    print(f"after one more seed {share:.0%} of {SIZE} exemplars' replies were asked again")  # noqa: T201
    assert 0 < share < 0.35
    assert set(run.exemplars["id"]) & set(whole.exemplars["id"])


@pytest.mark.parametrize(("purpose", "lost"), [("scenario", 2), ("exemplar", 3), ("level", 1)])
def test_offline_with_replies_missing_says_how_many_and_makes_no_release(
    purpose: str, lost: int, whole: gen.Run, tmp_path: Path
) -> None:
    out = with_ledger_of(whole, tmp_path / "out")
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        first = "SELECT ask_id FROM outcomes WHERE purpose = ? ORDER BY at, ask_id LIMIT ?"
        ledger.execute(f"DELETE FROM outcomes WHERE ask_id IN ({first})", (purpose, lost))
    ledger.close()
    with pytest.raises(gen.OfflineError, match=rf"--offline was given and {lost} of \d+ {purpose} replies") as caught:
        gen.run(RESPECT, size=SIZE, out=out, offline=True)
    assert caught.value.exit_code == 1
    assert not (out / "releases").exists()
    healed = gen.run(RESPECT, size=SIZE, out=out)
    assert healed.summary["asked"] == lost
    assert content(healed.release) == content(whole.release)


def test_the_recipe_may_lie_elsewhere_and_under_another_name(whole: gen.Run, tmp_path: Path) -> None:
    moved = copied(RESPECT, tmp_path / "a folder with blanks" / "ümlaut")
    run = gen.run(moved / "recipe.toml", size=SIZE, out=with_ledger_of(whole, tmp_path / "out"), offline=True)
    assert content(run.release) == content(whole.release)
