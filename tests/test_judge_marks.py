"""A run knows what became of its judge's check: it says so, marks the release, and refuses where that is wanted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thousandfold.gen import Event, ThousandfoldError, run
from thousandfold.gen.judge_facts import judge_facts
from thousandfold.gen.judge_marks import marks_of, put_check, sentence, standing
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.models import models_of
from thousandfold.gen.paths import panel_of
from thousandfold.gen.recipe import Recipe, load

from ._recipes import small_recipe

PASSED = {"failed": [], "not_tried": ["V5"], "checked_at": "2026-11-27T12:00:00+00:00"}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return small_recipe(tmp_path / "recipe")


def told(recipe: Path, out: Path) -> tuple[str, dict[str, object], str, list[str]]:
    """(judged in the summary, manifest, card, notes) of a run"""
    notes: list[str] = []

    def hear(event: Event) -> None:
        if event.kind == "note":
            notes.append(event.fields["text"])

    done = run(recipe, out=out, on_event=hear)
    assert done.release is not None
    manifest = json.loads((done.release / "manifest.json").read_text(encoding="utf-8"))
    return done.summary["judged"], manifest, (done.release / "README.md").read_text(encoding="utf-8"), notes


def note(loaded: Recipe, out: Path, **outcome: object) -> None:
    """As if the judge had been checked on every value of the recipe."""
    panel = panel_of(loaded, models_of(loaded, None, None))
    assert panel is not None
    with Ledger(out / "ledger.sqlite") as ledger:
        for mark in marks_of(loaded, panel, ledger):
            put_check(ledger, mark.facet, mark.hash, {**PASSED, **outcome})


def test_a_judge_goes_from_unchecked_to_checked_to_stale(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    judged, manifest, card, notes = told(recipe, out)
    assert (judged, manifest["judged"]) == ("unchecked", "unchecked")
    assert "**Judge unchecked" in card
    assert any(said.startswith("judge unchecked on ") for said in notes)

    note(load(recipe), out)
    judged, manifest, card, notes = told(recipe, out)
    assert (judged, manifest["judged"]) == ("checked", "checked")
    assert "**Judge checked** on every value (2026-11-27). Not tried: V5." in card
    assert not any("judge" in said for said in notes)

    rubric = next((recipe / "values").glob("*.toml"))
    text = rubric.read_text(encoding="utf-8")
    rubric.write_text(text.replace('definition = "', 'definition = "Changed. ', 1), encoding="utf-8")
    judged, _, card, notes = told(recipe, out)
    assert judged == "stale"
    assert any("its check is stale" in said for said in notes)


def test_a_judge_that_failed_is_named_with_the_tests_in_event_manifest_and_card(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told(recipe, out)
    note(load(recipe), out, failed=["V2"])
    judged, manifest, card, notes = told(recipe, out)
    assert (judged, manifest["judged"]) == ("failed", "failed")
    assert "judge failed its check: V2 on " in str(manifest["judge_said"])
    assert "**Judge failed its check: V2 on " in card
    assert any(said.startswith("judge failed its check: V2 on ") for said in notes)


def test_where_a_checked_judge_is_required_nothing_is_asked_of_another(recipe: Path, tmp_path: Path) -> None:
    path = recipe / "recipe.toml"
    path.write_text(path.read_text(encoding="utf-8") + "\n[judge]\nrequire_checked_judge = true\n", encoding="utf-8")
    out = tmp_path / "out"
    with pytest.raises(ThousandfoldError, match="judge unchecked on ") as caught:
        run(recipe, out=out)
    assert caught.value.exit_code == 1
    assert "thousandfold judge check" in caught.value.do
    with Ledger(out / "ledger.sqlite") as ledger:
        assert ledger.spent().replies == 0
    note(load(recipe), out)
    assert run(recipe, out=out).summary["judged"] == "checked"


def test_without_a_judge_there_is_nothing_to_check(recipe: Path, tmp_path: Path) -> None:
    loaded = load(recipe, {"judge.model": "none"})
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        facts = judge_facts(loaded, models_of(loaded, None, None), ledger)
    assert (facts["judged"], facts["judge_checks"], facts["judge_said"]) == ("unjudged", [], None)
    assert standing([]) == "unjudged"
    assert sentence([]) is None
