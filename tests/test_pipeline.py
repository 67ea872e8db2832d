"""Whole runs under stress: killed, stopped, short of money, on a full disk, with a teacher that writes anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen import Ask, Outcome, StopSignal

from ._runs import (
    COMMAND,
    RESPECT,
    Scripted,
    Server,
    command,
    content,
    copied,
    environment,
    plain_reply,
    release_in,
    serving,
    started,
    unmeasured,
)

SIZE = 16
AT_ONCE = 4
OPTIONS = ("--size", str(SIZE), "--out", "out")


def replies_in(out: Path) -> int:
    """Replies that the ledger holds, looked at beside a run that may be writing."""
    path = out / "ledger.sqlite"
    if not path.is_file():
        return 0
    ledger = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return int(ledger.execute("SELECT count(*) FROM outcomes").fetchone()[0])
    except sqlite3.OperationalError:  # not made yet
        return 0
    finally:
        ledger.close()


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits for `condition` while the process runs."""
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the run of these tests writes when nothing disturbs it."""
    with serving() as server:
        teacher, judge = server.models[1], server.models[3]
        out = tmp_path_factory.mktemp("uninterrupted")
        return content(gen.run(RESPECT, size=SIZE, teacher=teacher, judge=judge, out=out).release)


def resumes(folder: Path, server: Server, held: int, uninterrupted: dict[str, bytes]) -> None:
    """The same command again says what it found, asks only what is missing, and writes what it would have."""
    before = server.counts.requests
    said = command("run", RESPECT, *OPTIONS, *server.models, "--json", cwd=folder)
    assert said.code == 0
    assert f"found an unfinished run: {held} of about 88 replies already paid for; resuming" in said.err
    assert said.json["asked"] == server.counts.requests - before
    assert said.json["replayed"] == held
    assert replies_in(folder / "out") == held + said.json["asked"]
    assert content(release_in(folder / "out")) == uninterrupted


# Killed and stopped.


def test_a_run_killed_in_the_middle_is_resumed_for_what_is_missing(
    tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    with serving(latency_seconds=0.05) as server:
        words = ["run", str(RESPECT), *OPTIONS, *server.models, "--concurrency", str(AT_ONCE)]
        with started(*words, cwd=tmp_path) as process:
            until(lambda: replies_in(out) >= 30, process)
            process.kill()
            assert process.wait() == -signal.SIGKILL
        held = replies_in(out)
        assert held <= server.counts.requests <= held + AT_ONCE  # a crash costs the requests in flight
        assert not (out / "releases").exists()
        assert command("status", "out", "--json", cwd=tmp_path).json["unfinished"] == {"size": SIZE}
        assert "run again to resume it" in command("status", "out", cwd=tmp_path).out
        resumes(tmp_path, server, held, uninterrupted)
        assert command("verify", "out", cwd=tmp_path).code == 0
        assert command("status", "out", "--json", cwd=tmp_path).json["unfinished"] is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_was_in_flight_and_is_resumed(
    number: signal.Signals, code: int, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    with serving(latency_seconds=0.4) as server:
        words = ["run", str(RESPECT), *OPTIONS, *server.models, "--concurrency", str(AT_ONCE), "--json"]
        with started(*words, cwd=tmp_path) as process:
            until(lambda: server.counts.requests >= 3, process)
            second = command("run", RESPECT, *OPTIONS, *server.models, cwd=tmp_path)
            assert (second.code, second.out) == (75, "")
            assert "another run holds 'out'" in second.err
            process.send_signal(number)
            told, talk = process.communicate(timeout=120)
        assert process.returncode == code
        assert "stopping: finishing what is in flight (again to quit at once)\n" in talk
        assert "interrupted; what was in flight was finished and kept\n  why: " in talk
        assert "Traceback" not in talk
        assert json.loads(told)["exit"] == code
        assert sorted(path.name for path in out.iterdir()) == [".lock", "ledger.sqlite"]  # no -wal after a clean exit
        held = replies_in(out)
        assert held == server.counts.requests == server.counts.answered
        assert f"now holds {held} replies" in talk
        resumes(tmp_path, server, held, uninterrupted)


def test_a_preview_can_be_interrupted_too(tmp_path: Path) -> None:
    with serving(latency_seconds=0.3) as server:
        words = ["preview", str(RESPECT), "-n", "12", "--out", "out", "--concurrency", "2", *server.models]
        with started(*words, cwd=tmp_path) as process:
            until(lambda: server.counts.requests >= 2, process)
            process.send_signal(signal.SIGINT)
            told, talk = process.communicate(timeout=120)
        assert (process.returncode, told) == (130, "")
        assert "Traceback" not in talk
        assert replies_in(tmp_path / "out") == server.counts.answered


def test_a_stop_signal_ends_a_run_of_the_library(tmp_path: Path) -> None:
    stop = StopSignal()

    def stop_soon(event: gen.Event) -> None:
        if event.kind == "room" and event.fields["name"] == "verdicts":
            stop.set(15)

    with pytest.raises(gen.InterruptedRunError) as caught:
        gen.run(RESPECT, size=SIZE, out=tmp_path, stop=stop, on_event=stop_soon)
    assert caught.value.exit_code == 143
    held = replies_in(tmp_path)
    assert held == 2 * 23  # every context was drafted, and nothing was judged yet
    assert gen.run(RESPECT, size=SIZE, out=tmp_path).summary["replayed"] == held


def test_a_teacher_that_fails_for_good_leaves_the_earlier_release_alone(tmp_path: Path) -> None:
    first = gen.run(RESPECT, size=8, out=tmp_path)
    before = content(tmp_path, "releases")

    def fail(ask: Ask) -> Outcome:
        return Outcome(ask_id=ask.id, failure="bad_request", detail="no such parameter")

    writer = Scripted(fail)
    with pytest.raises(gen.TeacherError, match="no such parameter"):
        gen.run(RESPECT, size=8, out=tmp_path, teacher=writer)
    assert content(tmp_path, "releases") == before
    assert gen.load(tmp_path).release == first.release
    assert writer.closed == 1


# A full disk.

LIMITED = """
import resource, sys
from thousandfold.gen.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


def limited(kilobytes: int, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command where no file may grow past a size: what a full disk looks like to whoever writes."""
    script = [sys.executable, "-c", LIMITED, str(kilobytes * 1024), *words]
    return subprocess.run(script, cwd=cwd, env=unmeasured(), capture_output=True, text=True, check=False)


def is_one_clear_message(done: subprocess.CompletedProcess[str]) -> bool:
    talk = done.stderr[done.stderr.index("error: ") :]
    return done.returncode == 1 and "Traceback" not in done.stderr and talk.count("\n") == 3 and "resume" in talk


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of this kind on Windows")
@pytest.mark.parametrize(("kilobytes", "refused"), [(140, "the ledger out/ledger.sqlite"), (40, "out/releases failed")])
def test_a_disk_that_refuses_the_ledger_or_the_release_ends_the_run_with_one_message(
    kilobytes: int, refused: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = gen.run(RESPECT, size=8, out=out)
    assert first.release is not None
    if "releases" in refused:  # every reply is there, only its release is not
        second = gen.run(RESPECT, size=40, out=out)
        assert second.release is not None
        shutil.rmtree(second.release)
        (out / "LATEST").write_text(first.release.name + "\n", encoding="utf-8")
    before = content(out, "releases")
    words = ("run", str(RESPECT), "--size", "40", "--out", "out")
    done = limited(kilobytes, *words, cwd=tmp_path)
    assert is_one_clear_message(done), done.stderr
    assert refused in done.stderr
    assert done.stdout == ""
    assert content(out, "releases") == before
    assert gen.load(out).release == first.release
    assert command("verify", "out", cwd=tmp_path).code == 0
    resumed = gen.run(RESPECT, size=40, out=out)
    assert (resumed.summary["exit"], resumed.summary["accepted"]) == (0, 40)
    assert resumed.summary["replayed"] >= first.summary["asked"]


FULL_DISK = """
set -e
mount -t tmpfs -o size=8m tmpfs disk
thousandfold() { "$COMMAND" "$@"; }
thousandfold run "$RESPECT" --size 8 --out disk/out >/dev/null 2>&1
first=$(cat disk/out/LATEST)
second=$(thousandfold run "$RESPECT" --size 24 --out disk/out 2>/dev/null)
rm -r "$second"
echo "$first" | tee disk/out/LATEST
for left in 0 84 130; do
  dd if=/dev/zero of=disk/filler bs=1k count=100000 2>/dev/null || true
  size=$(stat -c %s disk/filler)
  truncate -s $((size - left * 1024)) disk/filler
  thousandfold run "$RESPECT" --size 24 --out disk/out >/dev/null || echo "exit $?"
  ls -A disk/out/releases; cat disk/out/LATEST
  rm disk/filler
  thousandfold verify disk/out
done
test "$(thousandfold run "$RESPECT" --size 24 --out disk/out 2>/dev/null)" = "$second"
"""


def test_a_disk_that_is_really_full_damages_nothing_and_the_run_resumes(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    unshare = shutil.which("unshare")
    private = [unshare or "", "--mount"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [
        unshare or "", "--map-root-user", "--mount",
    ]  # fmt: skip
    mount = "mount -t tmpfs -o size=1m tmpfs disk"
    if not unshare or subprocess.run([*private, "sh", "-c", mount], cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here")
    env = environment(COMMAND=str(COMMAND), RESPECT=str(RESPECT))
    done = subprocess.run(
        [*private, "sh", "-c", FULL_DISK], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    name, *tries = done.stdout.splitlines()
    assert tries == ["exit 1", name, name, "sound: 1 release and the ledger"] * 3
    assert done.stderr.count("error: ") == done.stderr.count("it resumes\n") == 3
    assert "Traceback" not in done.stderr


# Budgets.


def test_a_budget_stops_the_run_keeps_a_partial_release_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    before: set[str] = set()
    asked = 0
    for limit, exit_code in ((60_000, 3), (110_000, 3), (1_000_000, 0)):
        run = gen.run(RESPECT, size=SIZE, out=tmp_path, budget_tokens=limit)
        assert run.summary["exit"] == exit_code
        assert run.summary["replayed"] == asked
        asked += run.summary["asked"]
        state = command("status", tmp_path, "--json", cwd=tmp_path).json
        assert (state["replies"], state["tokens"] <= limit) == (asked, True)
        ids = set(run.exemplars["id"])
        assert len(before) < len(ids) <= SIZE
        assert before <= ids or exit_code == 0
        before = ids
        manifest = json.loads((release_in(tmp_path) / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["exit"] == exit_code


@pytest.mark.parametrize("limit", [40_000, 90_000, 200_000])
def test_a_run_with_a_budget_replays_to_the_same_bytes_also_offline(limit: int, tmp_path: Path) -> None:
    first = gen.run(RESPECT, size=SIZE, out=tmp_path / "out", budget_tokens=limit)
    again = gen.run(RESPECT, size=SIZE, out=tmp_path / "out", budget_tokens=limit)
    assert (again.summary["asked"], again.summary["replayed"]) == (0, first.summary["asked"])
    assert (again.release, again.summary["new"]) == (first.release, False)
    assert again.summary["exit"] == first.summary["exit"] == (0 if limit == 200_000 else 3)
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "out" / "ledger.sqlite", tmp_path / "copy")
    copy = gen.run(RESPECT, size=SIZE, out=tmp_path / "copy", budget_tokens=limit, offline=True, concurrency=1)
    assert content(copy.release) == content(first.release)


def test_a_budget_for_nothing_returns_without_a_release(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=SIZE, out=tmp_path, budget_tokens=500)
    assert (run.release, run.summary["release"], run.summary["exit"], run.summary["asked"]) == (None, None, 3, 0)
    assert run.exemplars.height == 0
    assert run.exemplars.columns == gen.run(RESPECT, size=8, out=tmp_path).exemplars.columns


def test_what_others_spent_on_the_same_ledger_counts(tmp_path: Path) -> None:
    gen.run(RESPECT, size=SIZE, out=tmp_path, seed=2, budget_tokens=60_000)
    run = gen.run(RESPECT, size=SIZE, out=tmp_path, seed=3, budget_tokens=120_000)
    assert run.summary["exit"] == 3
    assert 0 < run.summary["accepted"] < SIZE
    assert command("status", tmp_path, "--json", cwd=tmp_path).json["tokens"] <= 120_000


# What a run makes of what a teacher writes.


def tables(run: gen.Run) -> dict[str, pl.DataFrame]:
    assert run.release is not None
    return {path.stem: pl.read_parquet(path) for path in (run.release / "tables").glob("*.parquet")}


def test_rows_never_vanish_and_every_drop_has_a_reason(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=48, out=tmp_path, teacher="rehearsal:near_copy=0.85&cut_off=0.1")
    found = tables(run)
    drafts, verdicts, contexts = found["drafts"], found["verdicts"], found["contexts"]
    assert drafts["id"].is_unique().all()
    assert set(verdicts["id"]) == set(drafts["id"])
    assert set(drafts["context_id"]) == set(contexts["id"])
    dropped = verdicts.filter(~pl.col("kept"))
    assert dropped["id"].is_unique().all()
    assert dropped["reason"].null_count() == 0
    copies = dropped.filter(pl.col("reason").is_in(["near_duplicate", "prompt_duplicate", "held_out_leak"]))
    assert "cut_off" in set(dropped["reason"])
    assert copies.height > 0
    assert copies.select(pl.col("twin").is_in([*drafts["id"], *found["seeds"]["id"]]))["twin"].all()
    funnel = run.funnel
    assert funnel["drafts"] == funnel["kept"] + sum(funnel["dropped"].values())
    assert funnel["kept"] == funnel["scored"] + funnel["unscored"] + funnel["unjudged"]
    assert funnel["pool"] == found["selection"].height
    assert set(run.exemplars["id"]) == set(found["selection"].filter("selected")["id"])
    assert set(found["judgements"]["id"]) == set(drafts["id"]) - set(dropped["id"]) - set(
        drafts.filter(pl.col("context_id").is_in(contexts.filter(pl.col("split") == "heldout")["id"].implode()))["id"]
    )


def test_a_context_whose_draft_is_dropped_is_drawn_again_at_most_twice(tmp_path: Path) -> None:
    def sometimes_broken(ask: Ask) -> str:
        broken = ask.purpose == "exemplar" and "stance: angry" in ask.messages[1].content
        return "I would rather not." if broken else plain_reply(ask)

    recipe = copied(RESPECT, tmp_path / "patient")
    with (recipe / "recipe.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[run]\ncell_cap = 1000 # else a stance in which nothing passes is given up before\n")
    run = gen.run(recipe, size=24, out=tmp_path / "out", teacher=Scripted(sometimes_broken), judge="none")
    found = tables(run)
    rows = found["drafts"].join(found["contexts"].rename({"id": "context_id"}), on="context_id")
    angry, others = rows.filter(pl.col("stance") == "angry"), rows.filter(pl.col("stance") != "angry")
    assert angry.select("context_id", "draw").is_unique().all()
    assert sorted(set(angry["draw"])) == [0, 1, 2]
    assert set(others["draw"]) == {0}
    assert angry["problem"].null_count() == 0
    assert run.summary["accepted"] == 24


def test_a_teacher_that_always_says_the_same_ends_in_few_rounds_with_what_there_is(tmp_path: Path) -> None:
    def same(ask: Ask) -> str:
        return plain_reply(Ask(model="", messages=(), sampling=ask.sampling, purpose=ask.purpose))

    notes: list[str] = []

    def listen(event: gen.Event) -> None:
        if event.kind == "note":
            notes.append(event.fields["text"])

    run = gen.run(RESPECT, size=SIZE, out=tmp_path, teacher=Scripted(same), judge="none", on_event=listen)
    # One draft is kept, and a sealed prompt has the first claim on it.
    assert (run.summary["exit"], run.summary["accepted"], run.summary["heldout"], run.release) == (4, 0, 1, None)
    assert run.summary["rounds"] <= 3
    assert notes == ["nothing new comes: none of the last drafts can be used"]
    assert run.funnel["dropped"].keys() == {"held_out_leak"}  # for its prompt is the sealed one's


def test_what_the_judge_leaves_unscored_is_not_selected(tmp_path: Path) -> None:
    def judge(ask: Ask) -> str:
        if ask.purpose == "evidence":
            return json.dumps({"items": [], "reason": "none"})
        return "3" if int(ask.id[-1], 16) % 2 else "It is rather good, I should say a 3."

    run = gen.run(
        RESPECT, size=8, out=tmp_path, teacher=Scripted(plain_reply),
        judge=Scripted(judge, model="test:judge", family="judges"),
    )  # fmt: skip
    found = tables(run)
    unscored = found["judgements"].filter(pl.col("state") == "unscored")
    assert unscored.height == run.funnel["unscored"] > 0
    assert unscored["score"].null_count() == unscored.height
    assert not set(unscored["id"]) & set(found["selection"]["id"])
    assert run.exemplars["score"].to_list() == [0.75] * 8


def test_without_a_judge_a_release_is_marked_unjudged_and_has_no_scores(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=8, out=tmp_path, teacher=Scripted(plain_reply))
    assert run.release is not None
    assert run.summary["judged"] == "unjudged"
    assert run.exemplars["score"].null_count() == run.exemplars.height == 8
    assert json.loads((run.release / "manifest.json").read_text(encoding="utf-8"))["judged"] == "unjudged"
    assert "**Unjudged.**" in (run.release / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("teacher", "judge", "sentence"),
    [
        (("test:a", "one"), ("test:b", "one"), "are of one family (one)"),
        (("test:a", "one"), ("test:b", "rehearsal-judge"), "the rehearsal judge was asked to judge 'test:a'"),
    ],
)
def test_a_judge_that_may_not_judge_is_refused_before_anything_is_made(
    teacher: tuple[str, str], judge: tuple[str, str], sentence: str, tmp_path: Path
) -> None:
    writer, reader = (Scripted(plain_reply, model=model, family=family) for model, family in (teacher, judge))
    for function in (gen.run, gen.plan):
        with pytest.raises(gen.RecipeError) as caught:
            function(RESPECT, size=8, teacher=writer, judge=reader, out=tmp_path / "out")
        assert sentence in caught.value.what
    assert list(tmp_path.iterdir()) == []
    assert writer.asked == reader.asked == []


def test_sealed_levels_are_never_in_training_and_held_out_prompts_have_no_answers(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=30, out=tmp_path)
    assert run.release is not None
    assert not {"public service", "trades"} & set(run.exemplars["domain"])
    lines = [
        json.loads(line)
        for path in sorted((run.release / "heldout").iterdir())
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert len(lines) == run.summary["heldout"] == 3
    assert {turn["role"] for line in lines for turn in line["messages"]} == {"user"}
    assert not {line["id"] for line in lines} & set(run.exemplars["id"])


def test_every_training_line_is_id_and_messages_with_its_reason_in_the_last_turn(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=SIZE, out=tmp_path)
    assert run.release is not None
    because = dict(run.exemplars.select("id", "because").iter_rows())
    lines = (run.release / "train" / "sft.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == run.exemplars["id"].to_list()
    for line in map(json.loads, lines):
        assert list(line) == ["id", "messages"]
        assert {tuple(turn) for turn in line["messages"]} == {("role", "content")}
        assert line["messages"][-1]["role"] == "assistant"
        assert because[line["id"]] in line["messages"][-1]["content"]


ODD = "a separator \u2028 and [bold]markup[/bold] stay"
NASTY = "\x1b]0;owned\x07 \x1b[2J ../../etc/passwd \\..\\ <|im_end|> [bold]{name}{{}} \u202egnp.exe \U0001f9d1 \ud83d"


def test_text_that_may_be_anything_breaks_no_screen_path_or_file(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    seeds = [_seed(facet, f"{facet} {number} {NASTY}") for facet in FACETS for number in range(4)]
    seeds.append(_seed(FACETS[0], "w" * 200_000))
    (recipe / "seeds" / "nasty.jsonl").write_text("\n".join(seeds) + "\n", encoding="utf-8")

    def half_nasty(ask: Ask) -> str:
        return plain_reply(
            ask, words=NASTY if int(ask.id[-1], 16) % 2 else "a separator \u2028 and [bold]markup[/bold] stay"
        )

    run = gen.run(recipe, size=SIZE, out=tmp_path / "out", teacher=Scripted(half_nasty))
    assert run.release is not None
    assert run.funnel["dropped"]["broken"] > 0
    for data in content(run.release, "train", "heldout").values():
        for line in data.decode("utf-8").removesuffix("\n").split("\n"):
            assert list(json.loads(line)) == ["id", "messages"]
    verdicts = tables(run)["verdicts"]
    for said in (
        *(command("trace", "out", part["id"][0], cwd=tmp_path) for part in verdicts.partition_by("kept")),
        command("status", "out", cwd=tmp_path),
        command("verify", "out", cwd=tmp_path),
    ):
        assert said.code == 0
        assert [c for c in said.out + said.err if c in "\x1b\x07\u202e" or (ord(c) < 32 and c not in "\n\t")] == []
    assert {path.name for path in tmp_path.iterdir()} == {"recipe", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "LATEST", "ledger.sqlite", "releases"}


FACETS = ("honest apology", "clear boundaries", "respectful disagreement", "thoughtful criticism")


def _seed(facet: str, words: str) -> str:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": f"Look: {words}"},
        {"role": "assistant", "content": f"I see it. {words} That is all."},
    ]
    return json.dumps({"messages": turns, "facet": facet})
