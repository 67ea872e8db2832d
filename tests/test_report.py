"""What happened, as a person reads it: the closing table, a preview, the state of a directory, a line's descent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import RenderableType

from thousandfold import gen
from thousandfold.gen import Ask, Outcome, Usage
from thousandfold.gen.ahead import preview
from thousandfold.gen.descent import descent, descent_report
from thousandfold.gen.errors import DamageError, OutputError
from thousandfold.gen.output import Output
from thousandfold.gen.report import (
    PIPED_WIDTH,
    closing,
    console,
    damage_of,
    funnel_table,
    plan_report,
    preview_report,
    state_of,
    status_report,
)

from ._runs import RESPECT, Scripted, plain_reply

FUNNEL: dict[str, Any] = {
    "contexts": 54, "drafts": 57, "dropped": {"cut_off": 2, "duplicate": 1}, "kept": 54, "scored": 53,
    "unscored": 1, "unjudged": 0, "pool": 53, "selected": 40, "heldout": 4,
}  # fmt: skip
SUMMARY: dict[str, Any] = {
    "release": "out/releases/x", "name": "x", "new": True, "size": 40, "accepted": 40, "asked": 10, "replayed": 5,
    "paid_usd": 0.25, "rounds": 2, "judged": "unchecked", "funnel": FUNNEL, "shortfalls": [], "given_up": [],
    "exit": 0,
}  # fmt: skip


def text_of(*parts: RenderableType) -> str:
    """As it is printed where nobody reads along: no control characters, one page wide."""
    screen = console()
    with screen.capture() as captured:
        for part in parts:
            screen.print(part)
    return captured.get()


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """A release with dropped drafts in it."""
    folder = tmp_path_factory.mktemp("report")
    gen.run(RESPECT, size=16, out=folder, teacher="rehearsal:cut_off=0.3")
    return Output(folder)


def test_the_funnel_names_what_was_dropped_beside_the_step() -> None:
    lines = text_of(funnel_table(FUNNEL)).splitlines()
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "contexts 54", "drafts 57", "kept 54 cut_off 2, duplicate 1", "pool 53 unscored 1", "selected 40",
        "held out 4 sealed prompts",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "asked 10, replayed 5, paid 0.2500 USD, rounds 2"),
        ({"paid_usd": None}, "cost unknown (no price given)"),
        ({"cached_share": 0.625}, "62% of the prompt tokens came from the provider's cache"),
        ({"judged": "unjudged"}, "unjudged: no judge was configured"),
        ({"new": False}, "nothing changed: the release that stands holds the same content"),
        ({"accepted": 12}, "12 of 40 exemplars"),
        ({"accepted": 0, "release": None, "new": False}, "0 of 40 exemplars; no release"),
        (
            {"given_up": [{"cell": {"domain": "law", "tone": "angry"}, "tries": 9, "reasons": {"cut_off": 9}}]},
            "given up: domain = law and tone = angry: 9 drafts, all dropped (cut_off 9)",
        ),
        (
            {"shortfalls": [{"axis": "domain", "level": "law", "wanted": 5, "got": 2}]},
            "short: domain = law: 2 of 5",
        ),
    ],
)
def test_the_closing_says_what_matters(change: dict[str, Any], sentence: str) -> None:
    said = text_of(closing(SUMMARY | change, rehearsal=False))
    assert sentence in said
    assert ("nothing changed" in said) == (change.get("new") is False and "release" not in change)
    assert "rehearsal" not in said


def test_the_closing_of_a_rehearsal_says_that_it_is_no_training_data() -> None:
    said = " ".join(text_of(closing(SUMMARY, rehearsal=True)).split())
    assert "This release is a rehearsal." in said
    assert "it is not training data" in said
    assert "**" not in said


def test_a_plan_says_contexts_coverage_and_forecast() -> None:
    plan = gen.plan(RESPECT, size=40)
    said = text_of(plan_report(plan))
    assert said.startswith("52 contexts for 40 exemplars to choose from; held out: comp 1, far 1, id 1, lodo 1\n")
    assert f"{plan.coverage[2].met:,}" in said
    assert f"{plan.uniform[3]:.1%}" in said
    assert f"  asks     {plan.forecast.asks[0]:,} to {plan.forecast.asks[1]:,}\n" in said
    assert max(map(len, said.splitlines())) <= PIPED_WIDTH


def test_a_preview_shows_kept_dropped_unjudged_and_unscored(tmp_path: Path) -> None:
    def outcomes(**models: Any) -> str:
        recipe, state = preview(RESPECT, 6, out=tmp_path, **models)
        return text_of(*preview_report(recipe, state))

    said = outcomes(teacher="rehearsal:cut_off=0.6")
    assert said.count("╭─ d-") == 6
    assert "dropped: " in said
    assert "kept, level " in said
    assert "domain: " in said
    assert "kept, unjudged" in outcomes(teacher=Scripted(plain_reply), judge="none")
    mumbling = Scripted(lambda _: "perhaps \x1b[2J 3", model="test:j", family="judges")
    said = outcomes(teacher=Scripted(plain_reply), judge=mumbling)
    assert "kept, unscored: the judge was asked for one digit" in said
    assert "\x1b" not in said


def test_a_state_counts_what_is_there(output: Output) -> None:
    state = state_of(output)
    latest = output.latest()
    assert latest is not None
    assert (state["latest"], state["unfinished"], state["failures"], state["paid_usd"]) == (latest.name, None, 0, 0.0)
    assert [release["exemplars"] for release in state["releases"]] == [16]
    said = text_of(status_report(state, FUNNEL))
    assert f"{state['replies']} replies in the ledger (0 failed)" in said
    assert latest.name in said
    assert "selected" in said
    unfinished = text_of(status_report(state | {"unfinished": {"size": 16}, "releases": [], "paid_usd": None}, None))
    assert "a run of size 16 is under way or unfinished; run again to resume it" in unfinished
    assert "cost unknown" in unfinished


def test_how_much_of_the_prompts_was_cached_is_told_by_run_card_and_manifest(tmp_path: Path) -> None:
    def cached(ask: Ask) -> Outcome:
        told = 60 if ask.purpose == "exemplar" else 0
        return Outcome(ask.id, text=plain_reply(ask), usage=Usage(100, 50, cached_tokens=told, reasoning_tokens=9))

    run = gen.run(RESPECT, size=4, out=tmp_path, teacher=Scripted(cached), judge="none")
    assert run.release is not None
    asked = run.summary["asked"]
    cost = json.loads((run.release / "manifest.json").read_text())["cost"]
    assert run.summary["cached_share"] == cost["cached_share"] == 0.3  # as many situations as exemplars
    assert (cost["cached_tokens"], cost["reasoning_tokens"], cost["reasked"]) == (30 * asked, 9 * asked, 0)
    words = "30% of the prompt tokens came from the provider's cache"
    assert words in (run.release / "README.md").read_text()
    assert words in text_of(closing(run.summary, rehearsal=False))
    again = gen.run(RESPECT, size=4, out=tmp_path, teacher=Scripted(cached), judge="none")
    assert again.summary["cached_share"] is None  # nothing was asked
    assert "cache" not in text_of(closing(again.summary, rehearsal=False))


def test_where_nobody_tells_of_a_cache_nothing_is_said(output: Output) -> None:
    latest = output.latest()
    assert latest is not None
    cost = json.loads((latest / "manifest.json").read_text())["cost"]
    assert (cost["cached_share"], cost["cached_tokens"]) == (None, 0)
    assert cost["reasked"] > 0
    assert "cache" not in (latest / "README.md").read_text()


def test_descent_leads_from_a_line_to_its_seed(output: Output) -> None:
    exemplar = gen.load(output.path).exemplars.row(0, named=True)
    found = descent(output, exemplar["id"])
    json.dumps(found, default=str)
    assert found["context"]["domain"] == exemplar["domain"]
    assert found["context"]["seed_id"] == found["seed"]["id"]
    assert found["draft"]["context_id"] == found["context"]["id"]
    assert found["judgement"]["score"] == exemplar["score"]
    assert (found["selection"]["selected"], found["selection"]["rank"]) == (True, 0)
    assert [verdict["filter"] for verdict in found["verdicts"]] == [
        "form",
        "secrets",
        "leaks",
        "duplicates",
        "slots",
        "prompts",
    ]
    assert f"domain: {exemplar['domain']}" in found["asks"]["exemplar"]["messages"][-1][1]
    said = text_of(*descent_report(found))
    for part in (exemplar["id"], found["seed"]["id"], found["context"]["id"], found["asks"]["exemplar"]["ask"]):
        assert part in said
    assert exemplar["because"][:40] in said


def test_descent_explains_what_was_dropped_and_what_was_not_selected(output: Output) -> None:
    latest = output.latest()
    assert latest is not None
    verdicts = pl.read_parquet(latest / "tables" / "verdicts.parquet")
    selection = pl.read_parquet(latest / "tables" / "selection.parquet")
    dropped = verdicts.filter(~pl.col("kept")).row(0, named=True)
    said = text_of(*descent_report(descent(output, dropped["id"])))
    assert f"dropped: {dropped['reason']} (measured " in said
    assert "not in the pool" in said
    left = selection.filter(~pl.col("selected"))["id"][0]
    assert "not selected" in text_of(*descent_report(descent(output, left)))


def test_descent_shows_the_replies_that_could_not_be_read_on_the_way(output: Output) -> None:
    latest = output.latest()
    assert latest is not None
    drafts = pl.read_parquet(latest / "tables" / "drafts.parquet")["id"].to_list()
    unread = [found for draft_id in drafts if (found := descent(output, draft_id))["unreadable"]]
    assert unread, "a third is cut off, half of them in their JSON"
    [first, *_] = unread[0]["unreadable"]
    assert first["question"] == "exemplar"
    assert first["ask"] == unread[0]["asks"]["exemplar"]["ask"]
    assert first["reason"].startswith("the JSON in the reply is broken: ")
    said = text_of(*descent_report(unread[0]))
    assert f"exemplar: {first['ask']}: the JSON in the reply is broken" in " ".join(said.split())


def test_descent_says_why_a_draft_has_no_text_after_the_last_try(tmp_path: Path) -> None:
    def writes(ask: Ask) -> str:
        first = ask.follows or ask.id
        return '{"messages": [' if ask.purpose == "exemplar" and first < "a-4" else plain_reply(ask)

    run = gen.run(RESPECT, size=8, out=tmp_path, teacher=Scripted(writes), judge="none")
    assert run.release is not None
    verdicts = pl.read_parquet(run.release / "tables" / "verdicts.parquet")
    unreadable = verdicts.filter(pl.col("reason") == "unreadable")["id"].to_list()
    assert unreadable
    found = descent(Output(tmp_path), unreadable[0])
    assert [one["reason"] for one in found["unreadable"]] == [found["draft"]["problem"]] * 3
    assert found["draft"]["messages"] is None


def test_descent_of_an_unknown_id_says_where_ids_stand(output: Output) -> None:
    with pytest.raises(OutputError) as caught:
        descent(output, "d-0000")
    assert "'d-0000'" in caught.value.what
    assert caught.value.do.endswith("sft.jsonl")


def test_an_older_release_is_searched_too(tmp_path: Path) -> None:
    first = gen.run(RESPECT, size=8, seed=3, out=tmp_path)
    gen.run(RESPECT, size=8, seed=4, out=tmp_path)
    assert first.release is not None
    assert descent(Output(tmp_path), first.exemplars["id"][0])["release"] == first.release.name


def test_damage_is_found_and_a_damaged_table_is_an_error_where_it_is_needed(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=8, out=tmp_path)
    assert run.release is not None
    output = Output(tmp_path)
    assert damage_of(output) == []
    (run.release / "tables" / "drafts.parquet").write_bytes(b"PAR1 no more")
    (finding,) = damage_of(output)
    assert finding.startswith(f"{run.release.name}/tables/drafts.parquet: changed (12 bytes, ")
    with pytest.raises(DamageError, match=r"drafts\.parquet cannot be read"):
        descent(output, run.exemplars["id"][0])


def test_a_release_that_lost_its_manifest_is_named(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=8, out=tmp_path)
    assert run.release is not None
    (run.release / "manifest.json").unlink()
    assert [run.release.name in finding for finding in damage_of(Output(tmp_path))] == [True]
    with pytest.raises(DamageError, match=r"manifest\.json cannot be read"):
        state_of(Output(tmp_path))


def test_piped_output_is_as_wide_as_a_page_whatever_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert console().width == PIPED_WIDTH
    assert "[bold]x[/bold] :smile:" in text_of("[bold]x[/bold] :smile:")
