"""The words, as files: one file per question, each a template of langchain-core in f-string format.

A prompt file holds `## system` and `## user` sections; `{name}` is a field, `{{` a literal brace. Its
text is part of every ask's identity: a changed word is a changed ask. A recipe overrides a shipped
prompt by a file of the same name in its own `prompts/` folder.
"""

from __future__ import annotations

import re
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.prompts import ChatPromptTemplate

__all__ = ["NAMES", "TAGS", "Prompt", "PromptError", "as_data", "load"]

NAMES = (
    "checkup",
    "control_exemplar",
    "control_scenario",
    "critique",
    "evidence",
    "exemplar",
    "hollow",
    "level",
    "level_reworded",
    "openings",
    "over_done",
    "prose_exemplar",
    "prose_revision",
    "reask",
    "revision",
    "rotation",
    "scaffolds",
    "scenario",
    "shots",
    "turns",
    "verbalised_scenario",
    "violating",
)
"""The questions, each a file `<name>.md`. Those for control ask for situations in which the value is not called for.
`shots`, `rotation` and `turns` are added to the end of another question; `openings` and `scaffolds` are lists that
`rotation` takes from. `hollow`, `violating` and `over_done` want a lesser last turn for a conversation.
`level_reworded` asks what `level` does in other words, to see whether a judge minds. `reask` wants a reply again that
could not be read, `checkup` is what `thousandfold models` asks."""

LISTS = ("openings", "scaffolds")

_OF_A_TURN = {"definition", "likeness", "card", "situation", "conversation", "words", "paragraphs", "form"}

_FIELDS: dict[str, set[str]] = {
    "scenario": {"definition", "card", "exemplar", "how_many"},
    "exemplar": {"definition", "card", "exemplar", "situation"},
    "control_scenario": {"definition", "card", "exemplar", "how_many"},
    "control_exemplar": {"definition", "card", "exemplar", "situation"},
    "verbalised_scenario": {"definition", "card", "exemplar", "how_many", "tail"},
    "prose_exemplar": {"definition", "card", "exemplar", "situation"},
    "shots": {"exemplars"},
    "rotation": {"scaffold", "opening"},
    "scaffolds": set(),
    "openings": set(),
    "turns": {"exchanges"},
    "critique": {"definition", "card", "situation", "draft"},
    "revision": {"definition", "card", "situation", "draft", "critique"},
    "prose_revision": {"definition", "card", "situation", "draft", "critique"},
    "level": {"facet", "rubric", "levels", "conversation"},
    "level_reworded": {"facet", "rubric", "levels", "conversation"},
    "evidence": {"facet", "rubric", "items", "conversation"},
    "reask": {"problem"},
    "checkup": {"facet"},
    **dict.fromkeys(("hollow", "violating", "over_done"), _OF_A_TURN),
}
"""What the rooms can fill in; a prompt may use fewer, never others."""

TAGS = (
    "card",
    "conversation",
    "critique",
    "draft",
    "evidence",
    "exemplar",
    "exemplars",
    "hollow",
    "levels",
    "opening",
    "over_done",
    "rubric",
    "scaffold",
    "situation",
    "value",
    "violating",
)
_OUR_TAG = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(TAGS)})(?:[\s/][^<>]*)?>)", re.IGNORECASE)
_SECTION = re.compile(r"^## (system|user)[ \t]*$", re.MULTILINE)


class PromptError(ValueError):
    """A prompt file that cannot be used, as what happened / why it matters / what to do."""

    def __init__(self, *, what: str, why: str, do: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.do = do


class Prompt:
    """One question: its sections, its SHA-256, and `render`."""

    def __init__(self, name: str, text: str, *, origin: str) -> None:
        self.name = name
        self.text = text
        self.origin = origin
        self.sha256 = sha256(text.encode("utf-8")).hexdigest()
        self._check()

    @cached_property
    def sections(self) -> list[tuple[str, str]]:
        """(role, template) in the file's order."""
        _, *parts = _SECTION.split(self.text)
        return [(role, body.strip("\n")) for role, body in zip(parts[::2], parts[1::2], strict=True)]

    @cached_property
    def _template(self) -> ChatPromptTemplate:
        from langchain_core.prompts import ChatPromptTemplate

        return ChatPromptTemplate.from_messages(self.sections, template_format="f-string")

    @cached_property
    def items(self) -> tuple[str, ...]:
        """The lines of the file that begin with `- `, without that: what a list is made of."""
        lines = (line.strip() for _, text in self.sections for line in text.splitlines())
        return tuple(line[2:].strip() for line in lines if line.startswith("- ") and line[2:].strip())

    @cached_property
    def _used(self) -> frozenset[str]:
        return frozenset(self._template.input_variables)

    def render(self, **fields: str) -> list[tuple[str, str]]:
        """(role, text) pairs. Text arrives exactly as given: no escaping of any kind.

        Raises PromptError if a field that the file uses is missing.
        """
        missing = sorted(self._used - fields.keys())
        if missing:
            raise PromptError(
                what=f"the prompt {self.origin} needs {', '.join(missing)}, which was not given",
                why="a question with a hole in it would be asked and paid for",
                do=f"give {', '.join(missing)}, or take the field out of the prompt",
            )
        # What the template's own format_messages makes, but no message object for each.
        return [(role, template.format(**fields)) for role, template in self.sections]

    def _check(self) -> None:
        before = _SECTION.split(self.text)[0].strip()
        if before:
            raise PromptError(
                what=f"the prompt {self.origin} begins with {before.splitlines()[0][:60]!r}, before any section",
                why="words outside the sections would not be sent",
                do="put them under `## system` or `## user`, or take them out",
            )
        roles = [role for role, _ in self.sections]
        if not roles or roles[-1] != "user":
            raise PromptError(
                what=f"the prompt {self.origin} has the sections {roles or 'none'}",
                why="a question must end with what is asked, in a section headed `## user`",
                do="head its parts `## system` (optional) and `## user`",
            )
        if self.name in LISTS and not self.items:
            raise PromptError(
                what=f"the prompt {self.origin} lists nothing",
                why="one of its lines is chosen for each context",
                do="write its items one a line, each beginning with `- `",
            )
        try:
            used = self._used
        except ValueError as error:
            raise self._invalid(error) from error
        unknown = sorted(used - _FIELDS[self.name])
        if unknown:
            raise PromptError(
                what=f"the prompt {self.origin} uses the field {{{unknown[0]}}}",
                why=f"only {', '.join(sorted(_FIELDS[self.name]))} can be filled in here",
                do="use one of those, or write {{ and }} for literal braces",
            )
        try:
            self.render(**dict.fromkeys(used, ""))  # formats and conversions are looked at only now
        except ValueError as error:
            raise self._invalid(error) from error

    def _invalid(self, error: ValueError) -> PromptError:
        return PromptError(
            what=f"the prompt {self.origin} is not a valid template: {error}",
            why="a single brace opens a field",
            do="write {{ and }} for literal braces",
        )


def load(name: str, *, overrides: Path | None = None) -> Prompt:
    """The prompt `name`: from `overrides/<name>.md` if that exists, else the shipped one."""
    own = overrides / f"{name}.md" if overrides is not None else None
    if own is not None and own.is_file():
        try:
            return Prompt(name, own.read_text(encoding="utf-8-sig"), origin=str(own))
        except UnicodeDecodeError as error:
            raise PromptError(
                what=f"the prompt {own} is not UTF-8: byte {error.start} cannot be read",
                why="its words are sent to a model exactly as they stand",
                do="save the file as UTF-8",
            ) from error
    return Prompt(
        name,
        (files(__package__) / f"{name}.md").read_text(encoding="utf-8"),
        origin=f"{name}.md",
    )


def as_data(text: str) -> str:
    """`text` with our own delimiters neutralised, so that what a model wrote cannot end its own quotation.

    Only `<tag>` and `</tag>` of the tags these prompts use are touched (`<` becomes `‹`); every
    other character arrives as it is.
    """
    return _OUR_TAG.sub("‹", text)
