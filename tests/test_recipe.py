"""The recipe: what is read, what is refused in which words, and that its hash is that of its bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from thousandfold.gen.errors import RecipeError
from thousandfold.gen.recipe import load, load_rubric
from thousandfold.prompts import NAMES

from ._recipes import AXES, FILES, RECIPE, RESPECT, rubric, small_recipe

Changes = Mapping[str, str | bytes | None]


def refusal(folder: Path, overrides: Mapping[str, Any] | None = None, **names: str) -> str:
    """The whole message, with the recipe's directory as `DIR`."""
    with pytest.raises(RecipeError) as caught:
        load(folder, overrides, names={key.replace("__", "."): name for key, name in names.items()})
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(folder), "DIR")


def message(what: str, why: str, do: str) -> str:
    return f"{what}\n  why: {why}\n  do:  {do}"


def test_the_shipped_recipe_is_read_with_its_axes_rubrics_and_settings() -> None:
    recipe = load(RESPECT)
    assert [len(levels) for levels in recipe.levels.values()] == [12, 10, 8, 6, 5, 5, 4, 4]
    assert set(recipe.rubrics) == set(recipe.levels["facet"])
    assert len(recipe.train_levels["domain"]) == 10
    assert recipe.train_levels["stakes"] == ["everyday", "costly", "serious", "irreversible"]
    assert (recipe.settings.name, recipe.settings.size, recipe.settings.selection.pool) == ("respect", 300, 1.3)


def test_the_directory_and_its_recipe_toml_are_the_same_recipe(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path)
    assert load(folder / "recipe.toml").sha256 == load(str(folder)).sha256


def test_without_a_facet_axis_the_rubrics_are_its_levels(tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path, {"values/tact.toml": rubric("tact")}))
    assert list(recipe.levels) == ["domain", "tone", "facet"]
    assert recipe.levels["facet"] == ["candour", "tact"]
    assert recipe.axes["facet"].levels["tact"] == "Says what is so, of tact."


def test_overrides_replace_settings_and_make_the_tables_that_are_missing(tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path), {"size": 7, "teacher.model": "openai:x", "budget.usd": 2})
    assert (recipe.settings.size, recipe.settings.teacher.model, recipe.settings.budget.usd) == (7, "openai:x", 2.0)


def test_a_file_that_begins_with_a_byte_order_mark_or_ends_its_lines_with_crlf_is_read(tmp_path: Path) -> None:
    marked = {name: b"\xef\xbb\xbf" + str(text).replace("\n", "\r\n").encode() for name, text in FILES.items()}
    recipe = load(small_recipe(tmp_path, marked))
    assert recipe.settings.name == "small"
    assert recipe.levels["tone"] == ["calm", "angry"]
    assert list(recipe.rubrics) == ["candour"]


KEYS = "name, description, licence, language, size, seed, teacher, teachers, judge, judges, panel, families, "
KEYS += "contexts, heldout, drafts, "
KEYS += "expansion, filters, selection, twins, tics, run, budget, prices"
SILENT = "a key that is not read would be silently without effect"
QUESTIONS = ", ".join(f"{name}.md" for name in NAMES)


@pytest.mark.parametrize(
    ("changes", "what", "why", "do"),
    [
        (
            {"recipe.toml": RECIPE + "sise = 3\n"},
            "DIR/recipe.toml: unknown key sise = 3",
            SILENT,
            f"use one of {KEYS}, or take it out",
        ),
        (
            {"recipe.toml": RECIPE + "[drafts]\ncandidate = 3\n"},
            "DIR/recipe.toml: unknown key drafts.candidate = 3",
            SILENT,
            "use one of candidates, redraws, or take it out",
        ),
        (
            {"recipe.toml": RECIPE + '[prices."openai:x"]\ninputs = 3\n'},
            "DIR/recipe.toml: prices.openai:x.input is missing",
            "it has no default",
            "write prices.openai:x.input = …",
        ),
        (
            {"recipe.toml": "size = 3\n"},
            "DIR/recipe.toml: name is missing",
            "it has no default",
            "write name = …",
        ),
        (
            {"recipe.toml": 'name = "a/b"\n'},
            "DIR/recipe.toml: name = 'a/b'",
            "it should be 1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
            "give name such a value",
        ),
        (
            {"recipe.toml": 'name = "small"\nsize = "20"\n'},
            "DIR/recipe.toml: size = '20'",
            "it should be a valid integer",
            "give size such a value",
        ),
        (
            {"recipe.toml": 'name = "small"\nsize = true\n'},
            "DIR/recipe.toml: size = True",
            "it should be a valid integer",
            "give size such a value",
        ),
        (
            {"recipe.toml": RECIPE + "[selection]\npool = inf\n"},
            "DIR/recipe.toml: selection.pool = inf",
            "it should be a finite number",
            "give selection.pool such a value",
        ),
        (
            {"recipe.toml": RECIPE + "[heldout]\nshare = -0.5\n[drafts]\ncandidates = 0\n"},
            "DIR/recipe.toml: heldout.share = -0.5",
            "it should be greater than or equal to 0 (and 1 more such problems)",
            "give heldout.share such a value",
        ),
        (
            {"recipe.toml": RECIPE + 'teacher = "rehearsal"\n'},
            "DIR/recipe.toml: teacher = 'rehearsal'",
            "it should be a table",
            "give teacher such a value",
        ),
        (
            {"recipe.toml": RECIPE + "[contexts]\nstrength = 5\n"},
            "DIR/recipe.toml: contexts.strength = 5",
            "it should be 'auto', 1, 2, 3 or 4",
            "give contexts.strength such a value",
        ),
        (
            {"recipe.toml": RECIPE + "[contexts]\nforbid = [{}]\n"},
            "DIR/recipe.toml: contexts.forbid.0 = {}",
            "it should have at least 1 item",
            "give contexts.forbid.0 such a value",
        ),
        (
            {"recipe.toml": RECIPE + "size = 4\n"},
            "DIR/recipe.toml is not valid TOML: Cannot overwrite a value (at line 3, column 9)",
            "nothing in it can be trusted until it parses",
            "mend that line",
        ),
        (
            {"recipe.toml": b'name = "small"\ndescription = "caf\xe9"\n'},
            "DIR/recipe.toml:2 is not UTF-8: byte 0xe9",
            "TOML files are UTF-8",
            "save the file as UTF-8",
        ),
        (
            {"axes.toml": None},
            "DIR/axes.toml is missing",
            "a recipe needs it to say what contexts and values there are",
            "write it, or copy one from a starter made by `thousandfold init DIR`",
        ),
        (
            {"axes.toml": 'domain = ["law"]\n'},
            "DIR/axes.toml: domain = ['law']",
            "it should be a table",
            "give domain such a value",
        ),
        (
            {"axes.toml": AXES + "[empty.levels]\n"},
            "DIR/axes.toml: empty.levels = {}",
            "it should have at least 1 item",
            "give empty.levels such a value",
        ),
        (
            {"axes.toml": '[domain]\nlevel = {a = "b"}\n[domain.levels]\nlaw = "x"\n'},
            "DIR/axes.toml: unknown key domain.level = {'a': 'b'}",
            SILENT,
            "use one of description, levels, or take it out",
        ),
        (
            {"axes.toml": AXES + '[seed_id.levels]\na = "b"\n'},
            "DIR/axes.toml: an axis is called 'seed_id'",
            "tables have a column of that name already",
            "choose another name for the axis",
        ),
        (
            {"axes.toml": AXES + '["to: whom".levels]\na = "b"\n'},
            "DIR/axes.toml: an axis is called 'to: whom'",
            "it becomes a column of tables and the start of a line `axis: level`",
            "name it in letters, digits, blanks, dashes and underscores, beginning with a letter or digit",
        ),
        (
            {"axes.toml": AXES + '[kind.levels]\n"two\\nlines" = "b"\n'},
            "DIR/axes.toml: kind has the level 'two\\nlines'",
            "it stands on one line `axis: level` of what a teacher is shown",
            "name it on one line, without blanks at its ends or characters that do not show",
        ),
        (
            {"axes.toml": AXES + '[facet.levels]\ncandour = "x"\ntact = "y"\n'},
            "DIR/axes.toml: facet has the level 'tact', which has no rubric",
            "drafts of it could not be asked for or judged",
            "write values/<name>.toml with facet = 'tact'; there are candour",
        ),
        (
            {"values/candour.toml": None},
            "DIR/values holds no rubric (*.toml)",
            "without one nobody can say what the exemplars should express",
            "write values/<facet>.toml, or copy one from `thousandfold init DIR`",
        ),
        (
            {"values/again.toml": rubric()},
            "DIR/values/candour.toml: facet = 'candour' has a rubric already",
            "scores are per facet, each with one rubric",
            "rename the facet or delete one of the two files",
        ),
        (
            {"values/candour.toml": rubric().replace('4 = "fully"\n', "")},
            "DIR/values/candour.toml: levels = {'0': 'not at all', '1': 'a little', '2': 'half', '3': 'mostly'}",
            "it should have at least 5 items",
            "give levels such a value",
        ),
        (
            {"values/candour.toml": rubric().replace("4 =", "5 =")},
            "DIR/values/candour.toml: levels.5 = '5'",
            "it should be '0', '1', '2', '3' or '4'",
            "give levels.5 such a value",
        ),
        (
            {"prompts/exemplr.md": "## user\nWrite.\n"},
            "DIR/prompts/exemplr.md is named after no question",
            "a prompt that is not read would be silently without effect",
            f"name it after the question it words: {QUESTIONS}",
        ),
        (
            {"prompts/level.md": "## user\nRate {conversations}.\n"},
            "the prompt DIR/prompts/level.md uses the field {conversations}",
            "only conversation, facet, levels, rubric can be filled in here",
            "use one of those, or write {{ and }} for literal braces",
        ),
        (
            {"recipe.toml": RECIPE + '[[contexts.forbid]]\ndomain = "law"\n[[contexts.forbid]]\nmood = "calm"\n'},
            "DIR/recipe.toml: contexts.forbid.1 names the axis 'mood', which does not exist",
            "a setting about an unknown axis would be without effect",
            "use one of domain, tone, facet, or add it to axes.toml",
        ),
        (
            {"recipe.toml": RECIPE + '[[contexts.forbid]]\ndomain = "sea"\n'},
            "DIR/recipe.toml: contexts.forbid.0 names the level 'sea', which domain does not have",
            "a setting about an unknown level would be without effect",
            "use one of law, farm, school, or add it to axes.toml",
        ),
        (
            {"recipe.toml": RECIPE + "[heldout.levels]\nmood = []\n"},
            "DIR/recipe.toml: heldout.levels names the axis 'mood', which does not exist",
            "a setting about an unknown axis would be without effect",
            "use one of domain, tone, facet, or add it to axes.toml",
        ),
        (
            {"recipe.toml": RECIPE + '[heldout.levels]\ndomain = ["law", "sea"]\n'},
            "DIR/recipe.toml: heldout.levels names the level 'sea', which domain does not have",
            "a setting about an unknown level would be without effect",
            "use one of law, farm, school, or add it to axes.toml",
        ),
        (
            {"recipe.toml": RECIPE + '[heldout.levels]\ntone = ["calm", "angry"]\n'},
            "DIR/recipe.toml: heldout.levels seals every level of 'tone'",
            "then no context is left for training",
            "leave at least one level unsealed",
        ),
        (
            {"recipe.toml": RECIPE + "[selection.quotas.mood]\n"},
            "DIR/recipe.toml: selection.quotas names the axis 'mood', which does not exist",
            "a setting about an unknown axis would be without effect",
            "use one of domain, tone, facet, or add it to axes.toml",
        ),
        (
            {"recipe.toml": RECIPE + "[selection.quotas.domain]\nsea = 2\n"},
            "DIR/recipe.toml: selection.quotas names the level 'sea', which domain does not have",
            "a setting about an unknown level would be without effect",
            "use one of law, farm, school, or add it to axes.toml",
        ),
        (
            {"recipe.toml": RECIPE + "[selection.quotas.domain]\nlaw = 0.5\n"},
            "DIR/recipe.toml: selection.quotas.domain.law = 0.5",
            "it should be a valid integer",
            "give selection.quotas.domain.law such a value",
        ),
        (
            {"recipe.toml": RECIPE + "[selection.quotas.domain]\nlaw = 12\nfarm = 9\n"},
            "DIR/recipe.toml: selection.quotas of 'domain' sum to 21, past the size 20",
            "each exemplar has one level of an axis, so they cannot all be met",
            "lower them to 20 in all, or ask for a size of 21",
        ),
        (
            {"recipe.toml": RECIPE + '[heldout.far]\ntone = ["calm", "angry"]\n'},
            "DIR/recipe.toml: heldout.far seals every level of 'tone'",
            "then no context is left for training",
            "leave at least one level unsealed",
        ),
        (
            {"recipe.toml": RECIPE + '[heldout.levels]\ndomain = ["law"]\n[heldout.far]\ndomain = ["law"]\n'},
            "DIR/recipe.toml: domain = 'law' is sealed twice under heldout",
            "each sealed level belongs to one set",
            "keep it under one of heldout.levels, heldout.far and heldout.control",
        ),
        (
            {"recipe.toml": RECIPE + '[[heldout.tuples]]\ndomain = "law"\ntone = "merry"\n'},
            "DIR/recipe.toml: heldout.tuples.0 names the level 'merry', which tone does not have",
            "a setting about an unknown level would be without effect",
            "use one of calm, angry, or add it to axes.toml",
        ),
        (
            {"recipe.toml": RECIPE + '[[heldout.tuples]]\ndomain = "law"\n'},
            "DIR/recipe.toml: heldout.tuples.0 = {'domain': 'law'}",
            "it should have at least 2 items",
            "give heldout.tuples.0 such a value",
        ),
        (
            {
                "recipe.toml": RECIPE
                + '[heldout.levels]\ndomain = ["law"]\n[[heldout.tuples]]\ndomain = "law"\ntone = "calm"\n'
            },
            "DIR/recipe.toml: heldout.tuples.0 names domain = 'law', which heldout.levels seals",
            "its set is made of levels that training sees",
            "name another level, or take it out of one of the two",
        ),
        (
            {
                "recipe.toml": RECIPE
                + '[[contexts.forbid]]\nfacet = "candour"\ndomain = "law"\n'
                + '[[heldout.control]]\ndomain = "law"\ntone = "calm"\n'
            },
            "DIR/recipe.toml: heldout.control.0 (domain = 'law', tone = 'calm') can stand in no context",
            "contexts.forbid rules out what would have to stand beside it",
            "drop it, or narrow the constraints on these levels",
        ),
        (
            {"recipe.toml": RECIPE + '[heldout.levels]\ndomain = ["law"]\n[selection.quotas.domain]\nlaw = 1\n'},
            "DIR/recipe.toml: selection.quotas asks for domain = 'law', which heldout.levels seals",
            "a sealed level is never in training, so the quota cannot be met",
            "take it out of one of the two",
        ),
    ],
)
def test_a_refusal_names_file_key_and_value_and_says_what_to_write(
    tmp_path: Path, changes: Changes, what: str, why: str, do: str
) -> None:
    assert refusal(small_recipe(tmp_path, changes)) == message(what, why, do)


@pytest.mark.parametrize(
    ("overrides", "names", "what", "why", "do"),
    [
        ({"size": 0}, {"size": "--size"}, "--size = 0", "it should be greater than or equal to 1", "give --size"),
        ({"size": 0}, {}, "size = 0", "it should be greater than or equal to 1", "give size"),
        (
            {"seed": 2**31},
            {"seed": "--seed"},
            "--seed = 2147483648",
            "it should be less than 2147483648",
            "give --seed",
        ),
        (
            {"budget.usd": float("nan")},
            {"budget__usd": "--budget"},
            "--budget = nan",
            "it should be a finite number",
            "give --budget",
        ),
        (
            {"run.concurrency": "many"},
            {"run__concurrency": "concurrency"},
            "concurrency = 'many'",
            "it should be a valid integer",
            "give concurrency",
        ),
    ],
)
def test_an_override_is_called_by_the_name_it_was_given_by(
    tmp_path: Path, overrides: Mapping[str, Any], names: Mapping[str, str], what: str, why: str, do: str
) -> None:
    assert refusal(small_recipe(tmp_path), overrides, **names) == message(what, why, f"{do} such a value")


def test_an_override_does_not_hide_a_string_where_the_file_needs_a_table(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path, {"recipe.toml": RECIPE + 'teacher = "rehearsal"\n'})
    assert refusal(folder, {"teacher.model": "openai:x"}, teacher__model="--teacher") == message(
        "DIR/recipe.toml: teacher = 'rehearsal'", "it should be a table", "give teacher such a value"
    )


@pytest.mark.parametrize(
    ("name", "trouble"),
    [("nowhere", "does not exist"), ("empty", "holds no recipe.toml"), ("x" * 300, "cannot be read")],
)
def test_a_path_without_a_recipe_is_refused(tmp_path: Path, name: str, trouble: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / name)
    assert caught.value.what.startswith(f"the recipe {str(tmp_path / name)!r} {trouble}")
    assert caught.value.why == "a recipe is a directory with recipe.toml, axes.toml, seeds/ and values/"
    assert caught.value.do == "give the path of one, or write a starter with `thousandfold init DIR`"


def test_a_directory_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path)
    (folder / "seeds" / "old.md").mkdir()
    assert refusal(folder) == message(
        "DIR/seeds/old.md cannot be read: Is a directory",
        "the recipe is read before anything is asked",
        "check the file's kind and permissions",
    )


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path)
    try:
        (folder / "seeds" / os.fsdecode(b"caf\xe9.md")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system refuses such names itself")
    assert refusal(folder) == message(
        "DIR holds a file with the name 'seeds/caf\\udce9.md'",
        "the release keeps the recipe's files by name, in UTF-8",
        "rename the file",
    )


def test_hidden_files_of_editors_and_systems_are_no_part_of_the_recipe(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path)
    known = load(folder).sha256
    (folder / "seeds" / "._fence.md").write_bytes(b"\x00\x05\x16\x07")
    (folder / "values" / ".#candour.toml").symlink_to("nowhere")
    assert load(folder).sha256 == known


def test_a_recipe_may_lie_in_a_directory_called_prompts(tmp_path: Path) -> None:
    assert load(small_recipe(tmp_path / "prompts")).settings.name == "small"


@pytest.mark.parametrize("name", [*sorted(FILES), "prompts/level.md"])
def test_the_hash_changes_with_any_byte_of_any_file_and_with_its_name(tmp_path: Path, name: str) -> None:
    prompt = {"prompts/level.md": "## user\nRate this: {conversation}\n"}
    folder = small_recipe(tmp_path, prompt)
    recipe = load(folder)
    assert sorted(recipe.files) == sorted([*FILES, *prompt]) == list(recipe.files)
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    changed = load(folder)
    assert changed.files[name] == recipe.files[name] + b"\n"
    assert changed.sha256 != recipe.sha256
    (folder / name).write_bytes(recipe.files[name])
    assert load(folder).sha256 == recipe.sha256
    if name.startswith("seeds"):
        (folder / name).rename(folder / "seeds" / "renamed.md")
        assert load(folder).sha256 != recipe.sha256


def test_a_recipe_stays_what_was_read_when_its_files_change(tmp_path: Path) -> None:
    folder = small_recipe(tmp_path)
    recipe = load(folder)
    (folder / "seeds" / "fence.md").write_text("gone", encoding="utf-8")
    assert recipe.files["seeds/fence.md"] == str(FILES["seeds/fence.md"]).encode()
    assert sha256(recipe.files["axes.toml"]).digest() == sha256((folder / "axes.toml").read_bytes()).digest()


def test_settings_cannot_be_changed_after_they_were_checked(tmp_path: Path) -> None:
    settings = load(small_recipe(tmp_path)).settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.size = 3


def test_one_rubric_is_read_alone_and_refused_by_its_own_path(tmp_path: Path) -> None:
    path = tmp_path / "tact.toml"
    path.write_text(rubric("tact"), encoding="utf-8")
    assert load_rubric(path).facet == "tact"
    path.write_text(rubric("tact").replace("evidence", "evidences"), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_rubric(path)
    assert caught.value.what == f"{path}: evidence is missing"


def test_an_own_prompt_replaces_the_shipped_one(tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path, {"prompts/level.md": "## user\nHow far? {conversation}\n"}))
    assert recipe.prompts["level"].render(conversation="{ } & <b>") == [("user", "How far? { } & <b>")]
    assert recipe.prompts["scenario"].origin == "scenario.md"
