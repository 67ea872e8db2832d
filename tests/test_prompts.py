"""The prompts: every word arrives as it was written, a hole is an error, and what a model wrote stays data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from thousandfold import prompts
from thousandfold.prompts import NAMES, Prompt, PromptError, as_data, load

ODD = (
    "“quotes” 'and' \"double\" & &amp; <b>bold</b> {brace} {{two}} {0} {} \\n \\ 🙂 %s $x \u2028 \r\n#\n## user\n\ttab"
)

FIELDS: dict[str, tuple[str, ...]] = {
    "scenario": ("definition", "card", "exemplar", "how_many"),
    "exemplar": ("definition", "card", "exemplar", "situation"),
    "control_scenario": ("definition", "card", "exemplar", "how_many"),
    "control_exemplar": ("definition", "card", "exemplar", "situation"),
    "verbalised_scenario": ("definition", "card", "exemplar", "how_many", "tail"),
    "prose_exemplar": ("definition", "card", "exemplar", "situation"),
    "shots": ("exemplars",),
    "rotation": ("scaffold", "opening"),
    "scaffolds": (),
    "openings": (),
    "turns": ("exchanges",),
    "critique": ("definition", "card", "situation", "draft"),
    "revision": ("definition", "card", "situation", "draft", "critique"),
    "prose_revision": ("definition", "card", "situation", "draft", "critique"),
    "level": ("facet", "rubric", "levels", "conversation"),
    "level_reworded": ("facet", "rubric", "levels", "conversation"),
    "evidence": ("facet", "rubric", "items", "conversation"),
    "reask": ("problem",),
    "checkup": ("facet",),
    **dict.fromkeys(
        ("hollow", "violating", "over_done"),
        ("definition", "likeness", "card", "situation", "conversation", "words", "paragraphs", "form"),
    ),
}
ADDED = ("shots", "rotation", "turns", "scaffolds", "openings")
"""No questions of their own: they end one, or are lists."""

ALONE = ("checkup", "reask")  # questions of one message


def own(folder: Path, text: str, name: str = "level") -> Prompt:
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return load(name, overrides=folder)


# ── what is shipped ──


def test_every_question_has_its_file_and_no_file_is_without_a_question() -> None:
    files = sorted(p.stem for p in Path(prompts.__file__).parent.glob("*.md"))
    assert files == sorted(NAMES) == sorted(FIELDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_says_what_langchains_own_template_says(name: str) -> None:
    from langchain_core.prompts import ChatPromptTemplate

    prompt, fields = load(name), dict.fromkeys(FIELDS[name], ODD)
    template = ChatPromptTemplate.from_messages(prompt.sections, template_format="f-string")
    roles = {"system": "system", "human": "user"}
    assert prompt.render(**fields) == [(roles[m.type], m.text) for m in template.format_messages(**fields)]


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_a_shipped_prompt_arrives_unescaped(name: str) -> None:
    fields = {field: f"[{field}] {ODD}" for field in FIELDS[name]}
    rendered = load(name).render(**fields)
    alone = name in ADDED or name in ALONE
    assert [role for role, _ in rendered] == (["user"] if alone else ["system", "user"])
    assert all(text in rendered[-1][1] for text in fields.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_words_around_the_fields_are_those_of_the_file(name: str) -> None:
    fields = dict.fromkeys(FIELDS[name], "·")
    sections = load(name).sections
    expected = [(role, re.sub(r"(?<!\{)\{\w+\}", "·", text)) for role, text in sections]
    expected = [(role, text.replace("{{", "{").replace("}}", "}")) for role, text in expected]
    assert load(name).render(**fields) == expected


@pytest.mark.parametrize(("name", "missing"), [(name, field) for name in NAMES for field in FIELDS[name]])
def test_a_missing_field_fails(name: str, missing: str) -> None:
    fields = {field: "x" for field in FIELDS[name] if field != missing}
    with pytest.raises(PromptError) as caught:
        load(name).render(**fields)
    assert caught.value.what == f"the prompt {name}.md needs {missing}, which was not given"
    assert caught.value.why == "a question with a hole in it would be asked and paid for"


# From what is the same in every ask of a room to what is this ask's own: providers keep the beginnings of prompts.
CONSTANT_FIRST = ("facet", "definition", "rubric", "levels", "items", "exemplar", "card", "situation", "conversation")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*ALONE, *ADDED)])
def test_what_is_constant_comes_first(name: str) -> None:
    text = load(name).text
    places = [text.index(f"{{{field}}}") for field in CONSTANT_FIRST if field in FIELDS[name]]
    assert places == sorted(places)
    assert "{" not in load(name).sections[0][1].replace("{{", "").replace("}}", "")


def test_an_empty_field_is_not_a_missing_one() -> None:
    assert "facet: \n" in load("level").render(**dict.fromkeys(FIELDS["level"], ""))[1][1]


@pytest.mark.parametrize("name", ["openings", "scaffolds"])
def test_a_list_has_its_lines_as_items_and_none_twice(name: str) -> None:
    items = load(name).items
    assert len(items) == len(set(items)) == 12
    assert all(item and not item.startswith("-") for item in items)


def test_a_list_without_an_item_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError) as caught:
        own(tmp_path, "## user\nwith a question\n-\n", name="openings")
    assert caught.value.what == f"the prompt {tmp_path / 'openings.md'} lists nothing"
    assert caught.value.do == "write its items one a line, each beginning with `- `"


# ── what a recipe overrides ──


def test_a_file_of_the_same_name_overrides_the_shipped_one(tmp_path: Path) -> None:
    prompt = own(tmp_path, "## user\nHow {facet} is {conversation}? {{}}\n")
    assert prompt.render(facet="kind", conversation=ODD) == [("user", f"How kind is {ODD}? {{}}")]
    assert prompt.origin == str(tmp_path / "level.md")
    assert load("evidence", overrides=tmp_path).text == load("evidence").text


def test_a_changed_word_is_a_changed_prompt(tmp_path: Path) -> None:
    shipped = load("level")
    assert own(tmp_path, shipped.text).sha256 == shipped.sha256
    assert own(tmp_path, shipped.text.replace("Rate what", "Weigh what")).sha256 != shipped.sha256


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path, newline: str) -> None:
    text = load("level").text
    (tmp_path / "level.md").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", newline).encode())
    assert load("level", overrides=tmp_path).sha256 == load("level").sha256


def test_headings_of_other_kinds_are_words(tmp_path: Path) -> None:
    text = "## user\n# A title\n## assistant\n### user\n ## user\n## users\nRate {conversation}."
    assert own(tmp_path, text).render(conversation="it") == [("user", text[8:].replace("{conversation}", "it"))]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("## user\nRate {converstion}.", "uses the field {converstion}"),
        ("## user\nRate {situation}.", "uses the field {situation}"),
        ("## user\nRate {conversation.role}.", "is not a valid template: "),
        ("## user\nRate {conversation[0]}.", "is not a valid template: "),
        ("## user\nRate {}.", "uses the field {}"),
        ("## user\nRate {0}.", "is not a valid template: "),
        ("## user\nRate {conversation", "is not a valid template: "),
        ("## user\nRate } this.", "is not a valid template: "),
        ("## user\nRate {conversation:d}.", "is not a valid template: "),
        ("## user\nRate {conversation!x}.", "is not a valid template: "),
        ('## user\nReply {"level": 3}.', 'uses the field {"level"}'),
        ("## system\nYou rate.", "has the sections ['system']"),
        ("## user\nRate.\n## system\nYou rate.", "has the sections ['user', 'system']"),
        ("", "has the sections none"),
        ("Rate {conversation}.", "begins with 'Rate {conversation}.', before any section"),
        ("# Level\n\n## user\nRate {conversation}.", "begins with '# Level', before any section"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused_when_it_is_read(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(PromptError) as caught:
        own(tmp_path, text)
    assert caught.value.what.startswith(f"the prompt {tmp_path / 'level.md'} ")
    assert what in caught.value.what
    assert caught.value.why
    assert caught.value.do


def test_an_unknown_field_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(PromptError) as caught:
        own(tmp_path, "## user\n{x}")
    assert caught.value.why == "only conversation, facet, levels, rubric can be filled in here"
    assert caught.value.do == "use one of those, or write {{ and }} for literal braces"


def test_a_prompt_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "level.md").write_bytes(b"## user\nR\xe9sum\xe9")
    with pytest.raises(PromptError) as caught:
        load("level", overrides=tmp_path)
    assert caught.value.what == f"the prompt {tmp_path / 'level.md'} is not UTF-8: byte 9 cannot be read"
    assert caught.value.do == "save the file as UTF-8"


# ── what a model wrote ──

TAGS = (
    "card", "conversation", "critique", "draft", "evidence", "exemplar", "exemplars", "hollow", "levels", "opening",
    "over_done", "rubric", "scaffold", "situation", "value", "violating",
)  # fmt: skip


def test_the_tags_that_are_neutralised_are_those_that_the_prompts_use() -> None:
    used = {tag for name in NAMES for tag in re.findall(r"^</?([a-z_]+)>$", load(name).text, re.MULTILINE)}
    assert used == set(TAGS)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("form", ["<{}>", "</{}>", "< / {} >", "<{} a='b'>", "<{}/>", "</{}\n>"])
def test_our_own_tags_are_neutralised(tag: str, form: str) -> None:
    for written in (form.format(tag), form.format(tag.upper())):
        assert as_data(f"a {written} b") == f"a ‹{written[1:]} b"


@pytest.mark.parametrize(
    "text",
    [
        "<b>&lt;</b> a < b > c <https://x.org> <cards> <card-x> <value-of select='x'/> <values> <card",
        "< conversational > <my value> <!-- card -->",
        "‹card›",
        ODD,
    ],
)
def test_every_other_character_arrives_as_it_is(text: str) -> None:
    assert as_data(text) == text
