"""The switches of [expansion]: off, no ask changes; on, each says in the ask what it says, and rehearsal heeds it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold.gen import ahead
from thousandfold.gen.breadth import diversity
from thousandfold.gen.contexts import plan_contexts
from thousandfold.gen.drafting import EXEMPLAR_SCHEMA, SITUATIONS_SCHEMA, exemplar_prompt_text
from thousandfold.gen.drafts import card, longest_path
from thousandfold.gen.expansion import asks_of, exchanges, from_the_tail, other_shots, pick, prompt_files
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.models import models_of
from thousandfold.gen.pipeline import first_drafts
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.seeds import read_seeds
from thousandfold.gen.state import State
from thousandfold.gen.teachers.base import Ask, Message, Outcome, Sampling
from thousandfold.prompts import NAMES

from ._recipes import RESPECT
from ._runs import COMMAND, Scripted, command, copied, plain_reply, release_in, started
from .test_drafts import contexts_of, written

ALL: dict[str, Any] = {
    "verbalised": True, "prose": True, "rotation": True, "shots": 2, "revise": True, "turns": {"2": 0.3, "3": 0.2},
}  # fmt: skip


def respect(**switches: Any) -> Recipe:
    return load(RESPECT, {f"expansion.{name}": value for name, value in switches.items()})


def drafted(ledger: Ledger, count: int, *, collapse: float, **switches: Any) -> State:
    teacher = f"rehearsal:near_copy=0&cut_off=0&hollow=0&collapse={collapse}"
    settings = {f"expansion.{name}": value for name, value in switches.items()}
    recipe = load(RESPECT, settings | {"judge.model": "none", "teacher.model": teacher})
    return asyncio.run(first_drafts(recipe, ledger, models_of(recipe, None, None), count))


def asked_of(ledger: Ledger, draft: dict[str, Any], purpose: str) -> str:
    sent = ledger.request(asks_of(draft)[purpose])
    assert sent is not None
    return "\n".join(text for _, text in sent[1]["messages"])


def answers(state: State) -> pl.DataFrame:
    return state.drafts.select(text=pl.col("messages").list.last().struct.field("content"))


# ── off ──


def test_with_every_switch_off_an_ask_is_what_the_two_prompts_say_and_nothing_else() -> None:
    recipe, seeds = respect(), read_seeds(respect())
    row = contexts_of(recipe, 1).row(0, named=True)
    seed = seeds.row(by_predicate=pl.col("id") == row["seed_id"], named=True)
    shown = "\n\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in seed["messages"])
    fields = {
        "definition": recipe.rubrics[row["facet"]].definition,
        "card": card(recipe, row),
        "exemplar": f"{shown}\n\n[because]\n{seed['because']}",
    }
    own = {"scenario": {"how_many": "4"}, "exemplar": {"situation": "x" * 600}}
    schemas = {"scenario": SITUATIONS_SCHEMA, "exemplar": EXEMPLAR_SCHEMA}
    expected = [
        Ask(
            "test:writer",
            tuple(Message(*part) for part in recipe.prompts[name].render(**fields, **more)),
            Sampling(recipe.settings.teacher.temperature, recipe.settings.teacher.max_tokens, recipe.settings.seed),
            schemas[name],
        ).id
        for name, more in own.items()
    ]
    assert [ask.id for ask in longest_path(recipe, seeds, row, "test:writer")] == expected


def test_control_is_asked_for_as_it_always_was(tmp_path: Path) -> None:
    settings = {"heldout.control": [{"kind": "message", "stakes": "everyday"}], "heldout.share": 0.5}
    recipes = [load(RESPECT, settings | {f"expansion.{k}": v for k, v in on.items()}) for on in ({}, ALL)]
    planned = plan_contexts(recipes[0], read_seeds(recipes[0]), train=4, heldout=20)
    control = planned.filter(pl.col("set") == "ctrl").with_columns(draw=pl.lit(0, pl.UInt8))
    assert control.height
    asked = []
    for number, recipe in enumerate(recipes):
        teacher = Scripted(plain_reply)
        with Ledger(tmp_path / f"{number}.sqlite") as own:
            written(recipe, control, teacher, own)
        asked.append([ask.id for ask in teacher.asked])
    assert asked[0] == asked[1]


# ── each switch, in a real run ──


def test_verbalised_sampling_draws_a_situation_from_the_tail(ledger: Ledger) -> None:
    state = drafted(ledger, 40, collapse=1.0, verbalised=True)
    rare = 0
    for draft in state.drafts.iter_rows(named=True):
        assert "each with a probability below 0.1." in asked_of(ledger, draft, "scenario")
        reply = ledger.get_many([draft["scenario_ask_id"]])[draft["scenario_ask_id"]].text
        stated = {entry["situation"]: entry["probability"] for entry in json.loads(reply or "")["situations"]}
        assert stated[draft["scenario"]] < 0.1 or min(stated.values()) == stated[draft["scenario"]] >= 0.1
        rare += stated[draft["scenario"]] < 0.1
    assert 20 <= rare < 40  # four fifths heed it, as gen.teachers.rehearsal.collapse says


def test_of_the_offered_the_seed_draws_among_those_below_the_tail_or_takes_the_least_likely() -> None:
    offered = [("usual", 0.6), ("rare", 0.05), ("odd", 0.02), ("border", 0.1)]
    assert {from_the_tail(offered, tail=0.1, seed=seed) for seed in range(9)} == {"rare", "odd"}
    assert {from_the_tail(offered, tail=0.01, seed=seed) for seed in range(9)} == {"odd"}
    assert {from_the_tail([("a", 0.5), ("b", 0.5)], tail=0.1, seed=seed) for seed in range(9)} == {"a", "b"}


def test_prose_asks_for_no_json_and_reads_marked_turns(ledger: Ledger) -> None:
    state = drafted(ledger, 12, collapse=0.0, prose=True)
    assert state.drafts["problem"].null_count() == 12
    for draft in state.drafts.iter_rows(named=True):
        reply = ledger.get_many([draft["ask_id"]])[draft["ask_id"]].text or ""
        assert reply.startswith("[user]\n")
        assert "JSON only" not in asked_of(ledger, draft, "exemplar")
        assert draft["because"] in draft["messages"][-1]["content"]
    assert state.pool.height == 12


def test_rotation_gives_each_context_a_structure_and_an_opening_and_a_redraw_the_next(ledger: Ledger) -> None:
    state = drafted(ledger, 60, collapse=0.0, rotation=True)
    recipe = respect(rotation=True)
    counts = {name: dict.fromkeys(recipe.prompts[name].items, 0) for name in ("scaffolds", "openings")}
    for draft in state.drafts.iter_rows(named=True):
        asked = asked_of(ledger, draft, "exemplar")
        for name, found in counts.items():
            item = pick({"id": draft["context_id"], "draw": 0}, recipe.prompts[name])
            assert f">\n{item}\n<" in asked
            found[item] += 1
            items = recipe.prompts[name].items
            again = pick({"id": draft["context_id"], "draw": 1}, recipe.prompts[name])
            assert again == items[(items.index(item) + 1) % len(items)]
    assert all(0 < count <= 15 for found in counts.values() for count in found.values()), counts


def test_shots_are_of_other_lineages_never_sealed_and_turn_with_the_context(ledger: Ledger) -> None:
    recipe = respect(shots=2)
    seeds = read_seeds(recipe).to_dicts()
    lineage, split = {s["id"]: s["lineage"] for s in seeds}, {s["id"]: s["split"] for s in seeds}
    seen: set[tuple[str, ...]] = set()
    for row in contexts_of(recipe, 60, heldout=20).iter_rows(named=True):
        others = other_shots(row, seeds, 2)
        assert len(others) == (2 if row["split"] == "train" else 0)
        assert len({lineage[seed_id] for seed_id in [row["seed_id"], *others]}) == len(others) + 1
        assert all(split[seed_id] == "train" for seed_id in others)
        seen.add((row["seed_id"], *others))
    assert len(seen) > 40
    state = drafted(ledger, 3, collapse=0.0, shots=2)
    for draft in state.drafts.iter_rows(named=True):
        context = state.contexts.row(by_predicate=pl.col("id") == draft["context_id"], named=True)
        asked = asked_of(ledger, draft, "exemplar")
        texts = {s["id"]: s["messages"][-1]["content"] for s in seeds}
        shown = {seed_id for seed_id, text in texts.items() if text in asked}
        others = other_shots({**context, "draw": 0}, seeds, 2)
        assert shown == {context["seed_id"], *others}
        told = exemplar_prompt_text(recipe, {**context, "draw": 0}, "", seeds)
        assert all(texts[seed_id] in told for seed_id in others)  # so that an answer may not echo them


def test_a_revision_shows_its_reason_and_keeps_its_first_version_and_critique(ledger: Ledger) -> None:
    state = drafted(ledger, 10, collapse=0.0, revise=True)
    assert state.pool.height == 10
    for draft in state.drafts.iter_rows(named=True):
        asks = asks_of(draft)
        assert list(asks) == ["scenario", "exemplar", "critique", "revision"]
        replies = {purpose: json.loads(ledger.get_many([i])[i].text or "") for purpose, i in asks.items()}
        assert draft["because"] == replies["revision"]["because"]
        assert draft["because"] in draft["messages"][-1]["content"]
        first = replies["exemplar"]["messages"][-1]["content"]
        assert draft["messages"][-1]["content"] != first
        assert first in asked_of(ledger, draft, "critique")
        assert replies["critique"]["critique"] in asked_of(ledger, draft, "revision")
        assert " ".join(first.split()[:4]) in replies["critique"]["critique"]


def test_a_critique_or_revision_that_cannot_be_used_leaves_a_row_with_its_problem(ledger: Ledger) -> None:
    def reply(ask: Ask) -> str | Outcome:
        if ask.purpose == "critique":
            return "No." if (ask.follows or ask.id)[-1] in "01234567" else '{"critique": "Go."}'
        return "No." if ask.purpose == "revision" else plain_reply(ask)

    drafts = written(respect(revise=True), contexts_of(respect(), 12), Scripted(reply), ledger)
    assert drafts.height == 12
    assert set(drafts["problem"]) == {"no critique: no JSON object in the reply", "no JSON object in the reply"}
    assert drafts["messages"].null_count() == 12
    assert drafts["earlier_ask_ids"].list.len().to_list() == [2] * 12
    assert drafts["ask_id"].is_null().to_list() == [p.startswith("no critique") for p in drafts["problem"]]


def test_a_share_of_the_contexts_has_so_many_exchanges(ledger: Ledger) -> None:
    state = drafted(ledger, 60, collapse=0.0, turns={"2": 0.3, "3": 0.3})
    settings = respect(turns={"2": 0.3, "3": 0.3}).settings.expansion
    counts = {2: 0, 3: 0}
    for draft in state.drafts.iter_rows(named=True):
        wanted = exchanges({"id": draft["context_id"], "draw": 0}, settings)
        if wanted is not None:
            assert len(draft["messages"]) == 2 * wanted
            counts[wanted] += 1
            assert f"exactly {wanted} exchanges" in asked_of(ledger, draft, "exemplar")
    assert all(8 <= count <= 30 for count in counts.values()), counts


# ── all of them: money, plan, replay, trace ──


def test_the_longest_path_has_every_ask_and_no_ask_of_a_run_is_longer(ledger: Ledger) -> None:
    recipe, seeds = respect(**ALL), read_seeds(respect())
    row = contexts_of(recipe, 1).row(0, named=True)
    path = {str(ask.purpose): ask for ask in longest_path(recipe, seeds, row, "test:writer")}
    assert list(path) == ["scenario", "exemplar", "critique", "revision"]
    state = drafted(ledger, 30, collapse=0.0, **ALL)
    fixed = {"critique", "revision"}  # of the others the card and the seed differ by context
    for draft in state.drafts.iter_rows(named=True):
        for purpose in fixed:
            longest = sum([len(message.content) for message in path[purpose].messages])
            assert len(asked_of(ledger, draft, purpose)) < longest


def test_a_plan_forecasts_the_asks_of_a_revision() -> None:
    asks = {}
    for revise in (False, True):
        recipe = respect(revise=revise)
        models = models_of(recipe, None, None)
        train = plan_contexts(recipe, read_seeds(recipe), train=10, heldout=0)
        asks[revise] = ahead._assumed(recipe, models, read_seeds(recipe), train).asks
    assert asks[True][0] - asks[False][0] == 2 * 420  # 300 exemplars, a pool of 390 and 30 sealed ones


def test_every_prompt_that_an_ask_is_made_from_is_named() -> None:
    purposes = ("scenario", "exemplar", "critique", "revision")
    named = {purpose: prompt_files(ALL, purpose) for purpose in purposes}
    assert named["exemplar"] == ["prose_exemplar", "shots", "rotation", "turns"]
    assert named["scenario"] == ["verbalised_scenario"]
    assert prompt_files({}, "exemplar") == ["exemplar"]
    assert prompt_files(ALL, "exemplar", control=True) == ["control_exemplar"]
    assert {name for names in named.values() for name in names} <= set(NAMES)


def test_a_run_over_http_with_every_switch_traces_a_line_to_its_critique_and_replays_for_nothing(
    tmp_path: Path,
) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe", size=12)
    switches = "verbalised = true\nprose = true\nrotation = true\nshots = 2\nrevise = true\nturns = { 2 = 0.5 }\n"
    with (recipe / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[expansion]\n{switches}")
    assert COMMAND.exists()
    with started("rehearse", "--collapse", "0.5", cwd=tmp_path) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        models = ("--teacher", f"openai:rehearsal-teacher@{url}", "--judge", f"openai:rehearsal-judge@{url}")
        out = tmp_path / "out"
        done = command("run", recipe, *models, "--out", out, "--json", cwd=tmp_path)
        assert done.json["accepted"] == 12, done.err
        again = command("run", recipe, *models, "--out", out, "--json", "--offline", cwd=tmp_path)
        assert (again.json["asked"], again.json["release"]) == (0, done.json["release"])
    line = (release_in(out) / "train" / "sft.jsonl").read_text(encoding="utf-8").splitlines()[0]
    told = command("trace", out, json.loads(line)["id"], "--json", cwd=tmp_path).json
    assert list(told["asks"]) == ["scenario", "exemplar", "critique", "revision"]
    assert told["asks"]["revision"]["prompts"][0] == "prose_revision"
    assert "prompt verbalised_scenario.md (sha256" in command("trace", out, json.loads(line)["id"], cwd=tmp_path).out


# ── collapse ──


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Diversity of 150 drafts: of a teacher that has not collapsed, of one that has, and that one with a switch on."""
    folder = tmp_path_factory.mktemp("collapse")
    cases: dict[str, tuple[float, dict[str, Any]]] = {
        "fresh": (0.0, {}),
        "collapsed": (0.9, {}),
        "verbalised": (0.9, {"verbalised": True}),
        "rotation": (0.9, {"rotation": True}),
        "all": (0.9, ALL),
    }
    found = {}
    for name, (collapse, switches) in cases.items():
        with Ledger(folder / f"{name}.sqlite") as ledger:
            state = drafted(ledger, 150, collapse=collapse, **switches)
            found[name] = diversity(answers(state), text="text", sizes=[150]).row(0, named=True)
            situations = diversity(state.drafts.select(text="scenario"), text="text", sizes=[150])
            found[name]["situations"] = situations["vendi"][0]
    return found


def test_a_collapsed_teacher_is_less_varied_and_each_switch_mends_what_it_is_for(
    varied: dict[str, dict[str, Any]],
) -> None:
    for measure in ("vendi", "openings", "distinct_2", "situations"):
        assert varied["collapsed"][measure] < 0.8 * varied["fresh"][measure], (measure, varied)
        assert varied["collapsed"][measure] < varied["all"][measure], (measure, varied)
    assert varied["verbalised"]["situations"] > 1.1 * varied["collapsed"]["situations"]
    assert varied["rotation"]["openings"] > 1.5 * varied["collapsed"]["openings"]
