"""The library: plain functions that say nothing, work inside a running event loop, and raise one tree of errors."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from thousandfold import gen
from thousandfold.gen import Ask, Outcome
from thousandfold.gen.events import Kind
from thousandfold.gen.options import NOT_SETTINGS, SETTINGS

from ._runs import RESPECT, Scripted, copied, environment, plain_reply, serving

SIZE = 12
AXES = ["domain", "difficulty", "stance", "relationship", "kind", "fault", "stakes"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> gen.Run:
    return gen.run(RESPECT, size=SIZE, out=tmp_path_factory.mktemp("done"))


# run and load.


def test_a_run_has_exemplars_funnel_release_and_summary(done: gen.Run) -> None:
    assert done.exemplars.columns == ["id", "messages", "because", "facet", "score", *AXES]
    assert done.exemplars.height == done.summary["accepted"] == done.funnel["selected"] == SIZE
    assert done.exemplars["score"].is_between(0, 1).all()
    assert done.release is not None
    assert (done.release / "train" / "sft.jsonl").is_file()
    assert done.summary["release"] == str(done.release)
    json.dumps(done.summary)


def test_load_reads_back_what_run_returned(done: gen.Run) -> None:
    assert done.release is not None
    data = gen.load(done.release.parent.parent)
    assert_frame_equal(data.exemplars, done.exemplars)
    assert (data.funnel, data.release) == (done.funnel, done.release)
    assert {key: value for key, value in done.summary.items() if key in data.summary} == data.summary
    assert {"release", "name", "size", "accepted", "rounds", "funnel", "shortfalls", "exit"} <= set(data.summary)


def test_load_reads_back_an_unjudged_release_too(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=6, out=tmp_path, teacher=Scripted(plain_reply))
    assert_frame_equal(gen.load(tmp_path).exemplars, run.exemplars)


def test_load_without_a_release_says_what_to_do_first(tmp_path: Path) -> None:
    with pytest.raises(gen.OutputError, match="holds no ledger"):
        gen.load(tmp_path)
    gen.run(RESPECT, size=6, out=tmp_path, budget_tokens=1)
    with pytest.raises(gen.OutputError, match="has no release yet"):
        gen.load(tmp_path)


def test_run_takes_every_common_option_as_a_keyword() -> None:
    keywords = set(inspect.signature(gen.run).parameters) - {"recipe", "names"}
    assert keywords == set(SETTINGS) | NOT_SETTINGS


@pytest.mark.parametrize("function", [gen.run, gen.plan])
def test_an_option_that_does_not_exist_is_a_type_error(function: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'sise'"):
        function(RESPECT, sise=3, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_another_seed_is_another_plan_and_other_drafts(done: gen.Run, tmp_path: Path) -> None:
    other = gen.run(RESPECT, size=SIZE, seed=5, out=tmp_path)
    assert not set(other.exemplars["id"]) & set(done.exemplars["id"])


# Inside other programs.


def test_run_works_inside_a_running_event_loop(done: gen.Run, tmp_path: Path) -> None:
    async def cell() -> gen.Run:
        return gen.run(RESPECT, size=SIZE, out=tmp_path)

    assert_frame_equal(asyncio.run(cell()).exemplars, done.exemplars)
    assert [thread.name for thread in threading.enumerate() if thread.name == "thousandfold"] == []


def test_an_error_inside_a_running_event_loop_is_the_same_error(tmp_path: Path) -> None:
    async def cell() -> None:
        gen.run(RESPECT, size=SIZE, out=tmp_path, offline=True)

    with pytest.raises(gen.OfflineError):
        asyncio.run(cell())


# What a notebook does when its reader interrupts the kernel: KeyboardInterrupt in the thread that waits.
NOTEBOOK = """
import asyncio, signal, sys
from thousandfold import gen
signal.signal(signal.SIGINT, signal.default_int_handler)
async def cell():
    try:
        gen.run(sys.argv[1], size=12, out=sys.argv[2], teacher=sys.argv[3], judge="none", concurrency=2)
    except gen.InterruptedRunError as error:
        print(error.exit_code)
loop = asyncio.new_event_loop()
loop.run_until_complete(cell())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_an_interrupted_notebook_cell_keeps_what_was_in_flight(tmp_path: Path) -> None:
    with serving(latency_seconds=0.3) as server:
        words = [sys.executable, "-c", NOTEBOOK, str(RESPECT), str(tmp_path), server.models[1]]
        process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 120
        while server.counts.requests < 2 and time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, talk = process.communicate(timeout=120)
        assert (process.returncode, said) == (0, "130\n"), talk
        run = gen.run(RESPECT, size=12, out=tmp_path, teacher=server.models[1], judge="none")
        assert run.summary["replayed"] + run.summary["asked"] == server.counts.answered


def test_nothing_is_printed_and_no_logger_is_configured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    monkeypatch.setenv("THOUSANDFOLD_RUN_SIZE", "3")
    run = gen.run(RESPECT, size=6, out=tmp_path)
    gen.plan(RESPECT, size=6)
    gen.load(tmp_path)
    gen.judge(run.exemplars, RESPECT / "values" / "honest_apology.toml")
    with pytest.raises(gen.RecipeError):
        gen.run("nowhere")
    assert capfd.readouterr() == ("", "")
    assert (root.handlers, root.level) == before


def test_the_environment_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THOUSANDFOLD_RUN_SIZE", "3")
    monkeypatch.setenv("THOUSANDFOLD_RUN_OUT", str(tmp_path / "elsewhere"))
    assert gen.run(RESPECT, size=6, out=tmp_path / "out").summary["size"] == 6
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_events_tell_a_callback_what_happens_in_order(tmp_path: Path) -> None:
    events: list[gen.Event] = []
    run = gen.run(RESPECT, size=SIZE, out=tmp_path, on_event=events.append)
    kinds = [event.kind for event in events]
    assert set(kinds) == set(get_args(Kind)) - {"found", "reasked"}
    assert kinds[:4] == ["note", "forecast", "round", "room"]
    assert kinds[-1] == "release"
    assert sum(event.fields["asked"] for event in events if event.kind == "replies") == run.summary["asked"]
    again: list[gen.Event] = []
    gen.run(RESPECT, size=SIZE, out=tmp_path, on_event=again.append)
    assert again[0].kind == "found"
    assert again[0].fields["replies"] == run.summary["asked"]


def test_an_error_of_the_callback_reaches_the_caller_and_nothing_paid_is_lost(tmp_path: Path) -> None:
    def broken(event: gen.Event) -> None:
        if event.kind == "replies":
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gen.run(RESPECT, size=6, out=tmp_path, on_event=broken)
    assert gen.run(RESPECT, size=6, out=tmp_path).summary["replayed"] > 0


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"size": 0}, gen.RecipeError),
        ({"size": "12"}, gen.RecipeError),
        ({"size": True}, gen.RecipeError),
        ({"size": 2.5}, gen.RecipeError),
        ({"teacher": "nonsense"}, gen.RecipeError),
        ({"teacher": object()}, gen.TeacherError),
        ({"judge": 7}, gen.TeacherError),
        ({"budget": -1.0}, gen.RecipeError),
        ({"offline": True}, gen.OfflineError),
    ],
)
def test_what_is_wrong_is_raised_with_its_three_parts(
    options: dict[str, Any], kind: type[gen.ThousandfoldError], tmp_path: Path
) -> None:
    with pytest.raises(gen.ThousandfoldError) as caught:
        gen.run(RESPECT, **{"size": SIZE, "out": tmp_path / "out", **options})
    assert type(caught.value) is kind
    for part in (caught.value.what, caught.value.why, caught.value.do):
        assert part
        assert part in str(caught.value)
    if kind is not gen.OfflineError:
        assert list(tmp_path.iterdir()) == []


# Models given as objects.


def test_teachers_and_judges_may_be_objects_and_are_closed_once(tmp_path: Path) -> None:
    writer = Scripted(plain_reply)
    judge = Scripted(lambda ask: "4" if ask.purpose == "level" else '{"items": []}', model="test:j", family="judges")
    run = gen.run(RESPECT, size=6, out=tmp_path, teacher=writer, judge=judge)
    assert run.exemplars["score"].to_list() == [1.0] * 6
    assert (writer.closed, judge.closed) == (1, 1)
    assert {ask.purpose for ask in writer.asked} == {"scenario", "exemplar"}
    assert {ask.purpose for ask in judge.asked} == {"level", "evidence"}
    assert run.release is not None
    manifest = json.loads((run.release / "manifest.json").read_text(encoding="utf-8"))
    (told,) = manifest["models"].pop("teachers")
    assert manifest["models"] == {
        "teacher": {"model": "test:writer", "family": "writers"}, "judge": {"model": "test:j", "family": "judges"},
    }  # fmt: skip
    assert {name: told[name] for name in ("model", "family", "share", "selected")} == {
        "model": "test:writer", "family": "writers", "share": 1.0, "selected": 6,
    }  # fmt: skip
    assert told["drafts"] == run.funnel["drafts"] + run.summary["heldout"]


def test_a_langchain_chat_model_may_be_the_teacher(tmp_path: Path) -> None:
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    model = GenericFakeChatModel(messages=iter([AIMessage("not what was asked")] * 500))
    run = gen.run(RESPECT, size=4, out=tmp_path, teacher=model)
    assert (run.release, run.summary["exit"]) == (None, 4)
    assert run.funnel["dropped"].keys() == {"unreadable"}
    assert gen.teacher(model).model.startswith("langchain:")


def test_teacher_makes_one_from_a_spec_and_gives_back_one_that_is_there() -> None:
    assert gen.teacher("openai:gpt-5-mini").family == "gpt"
    assert gen.teacher("rehearsal").model == "rehearsal-teacher"
    own = Scripted(plain_reply)
    assert gen.teacher(own) is own
    assert isinstance(own, gen.Teacher)
    with pytest.raises(gen.RecipeError, match="of no known form"):
        gen.teacher("gpt-5-mini")


# plan.


def test_plan_asks_nothing_and_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer = Scripted(plain_reply)
    plan = gen.plan(RESPECT, size=40, teacher=writer)
    assert writer.asked == []
    assert list(tmp_path.iterdir()) == []
    assert plan.size == 40
    assert plan.contexts.filter(pl.col("split") == "train").height == 52
    assert plan.contexts.filter(pl.col("split") == "heldout").height == 4
    assert plan.contexts.columns[:5] == ["id", "seed_id", "split", "set", "position"]
    assert [plan.coverage[t].share > plan.uniform[t] for t in (2, 3)] == [True, True]
    assert plan.coverage[1].share == 1.0
    assert plan.forecast.usd is None
    assert plan.forecast.asks[0] < plan.forecast.asks[1]


def test_a_plan_is_what_a_run_writes_for(done: gen.Run) -> None:
    assert done.release is not None
    planned = gen.plan(RESPECT, size=SIZE).contexts
    written = pl.read_parquet(done.release / "tables" / "contexts.parquet")
    both = planned.join(written, on="id", how="inner", maintain_order="left")
    assert both.height == planned.height
    assert_frame_equal(both.select(planned.columns), planned)


def test_a_pilot_counts_every_ask_also_where_the_judge_is_asked_more_than_once(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    with (recipe / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write("\n[judge]\nsamples = 3\n")
    writer = Scripted(plain_reply)
    judge = Scripted(lambda _: "1", model="test:j", family="judges")
    plan = gen.plan(recipe, pilot=10, size=20, teacher=writer, judge=judge, out=tmp_path / "out")
    assert len(judge.asked) == 30
    assert len(writer.asked) == 20
    low, high = plan.forecast.contexts
    sealed = 2
    # Both ends were rounded up, the contexts too. At the least a sealed context costs two asks of the five.
    assert (low - sealed) * 5 + sealed * 2 - 5 < plan.forecast.asks[0] <= (low - sealed) * 5 + sealed * 2
    assert high * 5 - 5 < plan.forecast.asks[1] <= high * 5
    assert plan.forecast.tokens[0] / plan.forecast.asks[0] == pytest.approx(200, rel=0.01)
    run = gen.run(recipe, size=20, teacher=writer, judge=judge, out=tmp_path / "out")
    assert run.summary["replayed"] == 50


# judge.


def judged_frame(done: gen.Run) -> pl.DataFrame:
    return done.exemplars.filter(pl.col("facet") == "honest apology").select("messages", "domain")


RUBRIC = RESPECT / "values" / "honest_apology.toml"


def test_judge_adds_level_score_spans_and_reason_to_the_same_rows(done: gen.Run) -> None:
    frame = judged_frame(done)
    scored = gen.judge(frame, RUBRIC)
    assert scored.columns == ["messages", "domain", "level", "score", "spans", "reason"]
    assert_frame_equal(scored.select("messages", "domain"), frame)
    assert scored["score"].to_list() == (scored["level"] / 4).to_list()
    for row in scored.filter(pl.col("level") >= 2).iter_rows(named=True):
        assert row["spans"]
        text = "\n".join(turn["content"] for turn in row["messages"])
        assert all(span["span"] in text for span in row["spans"])


def test_judge_takes_rows_that_are_alike_and_frames_with_columns_of_the_same_names(done: gen.Run) -> None:
    frame = judged_frame(done).head(1)
    twice = pl.concat([frame, frame]).with_columns(score=pl.lit("mine"), id=pl.lit("same"), facet=pl.lit("?"))
    scored = gen.judge(twice, RUBRIC)
    assert scored.height == 2
    assert scored["score"][0] == scored["score"][1]
    assert scored["id"].to_list() == ["same", "same"]


def test_judge_of_an_empty_frame_is_an_empty_frame(done: gen.Run) -> None:
    scored = gen.judge(judged_frame(done).clear(), RUBRIC)
    assert scored.height == 0
    assert scored.columns[-4:] == ["level", "score", "spans", "reason"]


def test_a_reply_that_cannot_be_read_is_unscored_and_not_zero(done: gen.Run) -> None:
    judge = Scripted(lambda _: "hm", model="test:j", family="judges")
    scored = gen.judge(judged_frame(done), RUBRIC, judge=judge)
    assert scored["score"].null_count() == scored["level"].null_count() == scored.height > 0
    assert all("hm" in reason for reason in scored["reason"])
    assert judge.closed == 1


def test_a_row_without_a_conversation_is_unscored(done: gen.Run) -> None:
    frame = judged_frame(done).head(1).select("messages")
    nothing = pl.DataFrame({"messages": [None, [], [{"role": "user", "content": None}]]}, schema=frame.schema)
    scored = gen.judge(pl.concat([nothing, frame]), RUBRIC)
    assert scored["score"].is_null().to_list() == [True, True, True, False]
    assert scored["reason"][:3].to_list() == ["there is no conversation"] * 3
    assert scored["spans"].null_count() == 0
    assert gen.judge(pl.DataFrame({"messages": [None]}), RUBRIC)["score"].to_list() == [None]


def test_with_a_ledger_nothing_is_paid_for_twice(done: gen.Run, tmp_path: Path) -> None:
    judge = Scripted(lambda _: "1", model="test:j", family="judges")
    frame = judged_frame(done)
    for _ in range(2):
        gen.judge(frame, RUBRIC, judge=judge, ledger=tmp_path / "judged.sqlite")
    assert len(judge.asked) == frame.height


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (pl.DataFrame({"text": ["hello"]}), "the frame has no column 'messages'; it has text"),
        (pl.DataFrame({"messages": ["hello"]}), "the column 'messages' is of type String"),
        (pl.DataFrame({"messages": [[{"speaker": "user"}]]}), "the column 'messages' is of type List"),
    ],
)
def test_judge_refuses_a_frame_without_conversations(frame: pl.DataFrame, sentence: str) -> None:
    with pytest.raises(gen.RecipeError) as caught:
        gen.judge(frame, RUBRIC)
    assert sentence in caught.value.what


def test_judge_refuses_a_number_of_samples_that_makes_no_sense(done: gen.Run) -> None:
    with pytest.raises(gen.RecipeError, match="samples = 0"):
        gen.judge(judged_frame(done), RUBRIC, samples=0)


def test_judge_refuses_a_rubric_that_is_not_there(done: gen.Run, tmp_path: Path) -> None:
    with pytest.raises(gen.RecipeError, match=r"nothing\.toml is missing"):
        gen.judge(judged_frame(done), tmp_path / "nothing.toml")


def test_a_judge_that_fails_for_good_is_an_error_and_is_closed(done: gen.Run) -> None:
    def fail(ask: Ask) -> Outcome:
        return Outcome(ask_id=ask.id, failure="bad_request", detail="no such model")

    judge = Scripted(fail, model="test:j", family="judges")
    with pytest.raises(gen.TeacherError, match="no such model"):
        gen.judge(judged_frame(done), RUBRIC, judge=judge)
    assert judge.closed == 1
