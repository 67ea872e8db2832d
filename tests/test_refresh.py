"""The cron door: it resumes, releases only what changed, and says so in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thousandfold import gen
from thousandfold.gen.output import Output
from thousandfold.gen.refresh import refresh

from ._runs import RESPECT, Scripted, command, content, copied, plain_reply, release_in


def short_recipe(folder: Path, law: int = 10) -> Path:
    """A recipe whose quota for one level cannot be met in the one round that it allows."""
    recipe = copied(RESPECT, folder)
    with (recipe / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[selection.quotas.domain]\nlaw = {law}\n[run]\nmax_rounds = 1\n")
    return recipe


def test_the_first_refresh_is_a_run_and_the_next_changes_nothing(tmp_path: Path) -> None:
    words = ("refresh", RESPECT, "--size", "12", "--out", "out")
    first = command(*words, cwd=tmp_path)
    told = first.json
    assert (first.code, told["changed"], told["previous"]) == (0, True, None)
    assert (told["added"], told["removed"], told["unchanged"]) == (12, 0, 0)
    before = content(tmp_path / "out", "releases")
    second = command(*words, cwd=tmp_path)
    told = second.json
    assert (second.code, told["changed"], told["previous"], told["name"]) == (0, False, told["name"], told["name"])
    assert (told["added"], told["removed"], told["unchanged"], told["asked"]) == (0, 0, 12, 0)
    assert content(tmp_path / "out", "releases") == before
    assert "found" in second.err


def test_a_larger_size_makes_a_release_that_counts_what_came_and_went(tmp_path: Path) -> None:
    small = gen.run(RESPECT, size=12, out=tmp_path)
    told = refresh(RESPECT, size=18, out=tmp_path)
    large = gen.load(tmp_path)
    old, new = set(small.exemplars["id"]), set(large.exemplars["id"])
    assert (told["changed"], told["exit"], told["accepted"]) == (True, 0, 18)
    assert (told["added"], told["removed"], told["unchanged"]) == (len(new - old), len(old - new), len(old & new))
    assert told["added"] - told["removed"] == 6
    assert small.release is not None
    assert (told["previous"], told["name"]) == (small.release.name, release_in(tmp_path).name)


def test_going_back_is_a_change_though_no_release_is_new(tmp_path: Path) -> None:
    small = gen.run(RESPECT, size=12, out=tmp_path)
    large = gen.run(RESPECT, size=18, out=tmp_path)
    told = refresh(RESPECT, size=12, out=tmp_path)
    assert small.release is not None
    assert large.release is not None
    assert (told["changed"], told["new"], told["previous"]) == (True, False, large.release.name)
    assert told["name"] == small.release.name == release_in(tmp_path).name
    assert told["asked"] == 0


def test_what_a_stopped_run_left_is_resumed(tmp_path: Path) -> None:
    stop = gen.StopSignal()

    def stop_soon(event: gen.Event) -> None:
        if event.kind == "replies":
            stop.set()

    with pytest.raises(gen.InterruptedRunError):
        gen.run(RESPECT, size=12, out=tmp_path, stop=stop, on_event=stop_soon)
    told = refresh(RESPECT, size=12, out=tmp_path)
    assert (told["changed"], told["previous"], told["accepted"]) == (True, None, 12)
    assert told["replayed"] > 0


def test_a_shortfall_exits_4_when_it_is_new_and_0_when_it_is_known(tmp_path: Path) -> None:
    recipe = short_recipe(tmp_path / "recipe")
    codes = [command("refresh", recipe, "--size", "12", "--out", "out", cwd=tmp_path) for _ in range(2)]
    assert [(done.code, done.json["exit"], bool(done.json["shortfalls"])) for done in codes] == [
        (4, 4, True), (0, 0, True),
    ]  # fmt: skip
    assert gen.run(recipe, size=12, out=tmp_path / "out").summary["exit"] == 4  # a run always says so
    other = short_recipe(tmp_path / "other", law=11)
    assert refresh(other, size=12, out=tmp_path / "out")["exit"] == 4


def test_fewer_exemplars_than_asked_are_a_shortfall_of_their_own(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    with (recipe / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write("\n[run]\nmax_rounds = 1\n[drafts]\nredraws = 0\n")
    text = (recipe / "recipe.toml").read_text(encoding="utf-8")
    (recipe / "recipe.toml").write_text(text.replace("quota_share = 0.6", "quota_share = 0.0"), encoding="utf-8")
    whole = refresh(recipe, size=12, out=tmp_path / "out", teacher=Scripted(plain_reply), judge="none")
    assert (whole["exit"], whole["shortfalls"], whole["accepted"]) == (0, [], 12)

    def lazy(ask: gen.Ask) -> str:
        return plain_reply(ask) if int(ask.id[-1], 16) % 4 == 0 else "No."

    teacher = Scripted(lazy, model="test:lazy")
    codes = [refresh(recipe, size=12, out=tmp_path / "out", teacher=teacher, judge="none") for _ in range(2)]
    assert 0 < codes[0]["accepted"] < 12
    assert [(told["exit"], told["shortfalls"], told["changed"]) for told in codes] == [(4, [], True), (0, [], False)]


def test_without_a_single_draft_the_release_stands_and_nothing_is_removed(tmp_path: Path) -> None:
    gen.run(RESPECT, size=12, out=tmp_path)
    told = refresh(RESPECT, size=12, seed=9, out=tmp_path, budget_tokens=1)
    assert (told["exit"], told["release"], told["changed"]) == (3, None, False)
    assert (told["added"], told["removed"], told["unchanged"]) == (0, 0, 12)


def test_it_takes_turns_with_a_run(tmp_path: Path) -> None:
    gen.run(RESPECT, size=8, out=tmp_path)
    with Output(tmp_path).locked(), pytest.raises(gen.LockedError) as caught:
        refresh(RESPECT, size=8, out=tmp_path)
    assert caught.value.exit_code == 75


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        (["--size", "0"], 2, "--size = 0"),
        (["--size", "8", "--offline"], 1, "--offline was given"),
        (["--size", "8", "--judge", "nonsense"], 2, "'nonsense' is of no known form"),
    ],
)
def test_a_failure_is_json_too(options: list[str], code: int, what: str, tmp_path: Path) -> None:
    done = command("refresh", RESPECT, *options, "--out", "out", cwd=tmp_path)
    told: dict[str, Any] = json.loads(done.out)
    assert (done.code, told["exit"]) == (code, code)
    assert what in told["error"]["what"]
    assert set(told["error"]) == {"what", "why", "do"}
    assert f"error: {told['error']['what']}\n  why: " in done.err
