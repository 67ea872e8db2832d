"""The hand-written sentences that rehearsal composes from: one TOML file per facet, read when needed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Formatter
from typing import Any, TypeAlias

GENERAL = "general"
"""The facet file for every facet that has none of its own."""

FINGERPRINT_CHARACTERS = 12  # a shorter run of words may stand in any text by chance

_SENTENCE_START = re.compile(r"(?:^|[.!?][”\"’)]* |\n|: (?=[“\"]))[“\"‘(]*$")
_FIRST_LETTER = re.compile(r"^([“\"‘(]*)(\w)")
_WORD_BREAK = re.compile(r"[^a-z0-9]+")


class Variant:
    """One hand-written sentence (or two) with slots in braces; it is taken apart when first used."""

    def __init__(self, source: str) -> None:
        self.source = source

    @cached_property
    def parts(self) -> tuple[tuple[str, str | None, bool], ...]:
        """(words, slot after them, whether the slot begins a sentence) from left to right."""
        parts: list[tuple[str, str | None, bool]] = []
        before = ""
        for words, slot, _, _ in Formatter().parse(self.source):
            shown = capitalised(words) if not before else words
            before += words
            parts.append((shown, slot, bool(_SENTENCE_START.search(before))))
            before += "x" if slot else ""
        return tuple(parts)

    @cached_property
    def slots(self) -> frozenset[str]:
        return frozenset(slot for _, slot, _ in self.parts if slot is not None)

    @cached_property
    def fingerprint(self) -> str | None:
        """The longest run of words that no slot interrupts; None where all of them are short."""
        longest = max((words.strip() for words, _, _ in self.parts), key=len, default="")
        return longest if len(longest) >= FINGERPRINT_CHARACTERS else None

    def fill(self, slots: Mapping[str, str]) -> str:
        """The sentence with its slots filled and its capitals set; KeyError where a slot is not given."""
        pieces: list[str] = []
        for words, slot, starts_sentence in self.parts:
            pieces.append(words)
            if slot is not None:
                pieces.append(capitalised(slots[slot]) if starts_sentence else slots[slot])
        return "".join(pieces)


Choice: TypeAlias = "tuple[Variant, ...] | Mapping[str, Choice]"
"""The variants of one move, or the same by level of an axis (`any` for all other levels)."""


def capitalised(text: str) -> str:
    """The text with its first letter in upper case, opening quotes before it skipped."""
    return _FIRST_LETTER.sub(lambda found: found[1] + found[2].upper(), text, count=1)


def variants(choice: Choice | None, levels: frozenset[str] = frozenset()) -> tuple[Variant, ...]:
    """The variants that fit these levels; none where the move was never written."""
    while isinstance(choice, Mapping):
        key = next((level for level in choice if level in levels), "any")
        choice = choice[key] if key in choice else next(iter(choice.values()), None)
    return choice or ()


def leaves(choice: Choice | None) -> Iterator[Variant]:
    """Every variant of a move, whatever level it is meant for."""
    if isinstance(choice, Mapping):
        for part in choice.values():
            yield from leaves(part)
    else:
        yield from choice or ()


@dataclass(frozen=True)
class Facet:
    """One facet's sentences: its cases by domain, the moves of both speakers, and its hollow twin."""

    name: str
    cases: Mapping[str, Sequence[Mapping[str, str]]]
    orders: Sequence[Sequence[str]]
    user: Mapping[str, Choice]
    assistant: Mapping[str, Choice]
    hollow: Mapping[str, Choice]
    evidence: Mapping[str, Sequence[str]]
    rungs: Mapping[str, Mapping[str, Choice]]  # the lesser answers that are asked for, by kind

    def cases_of(self, domain: str | None) -> Sequence[Mapping[str, str]]:
        """The cases of a domain; all of them where the domain is not known here."""
        known = self.cases.get(domain or "")
        return known or [case for cases in self.cases.values() for case in cases]


@dataclass(frozen=True)
class Pair:
    """The other person, as seen by the user ("my sister") and by the assistant ("your sister")."""

    other: str
    your_other: str

    @property
    def slots(self) -> dict[str, str]:
        return {"other": self.other, "your_other": self.your_other}


SOMEONE = Pair("the other person", "the other person")


@dataclass(frozen=True)
class Axes:
    """Sentences that every facet shares: by axis, then by level."""

    user: Mapping[str, Choice]
    assistant: Mapping[str, Choice]
    others: Mapping[str, Sequence[Pair]]

    def pairs_of(self, relationship: str | None) -> Sequence[Pair]:
        return self.others.get(relationship or "") or (SOMEONE,)


@dataclass(frozen=True)
class Telling:
    """How a situation is told, before there is a conversation."""

    opening: Sequence[Variant]
    other: Sequence[Variant]
    place: Mapping[str, Sequence[str]]  # words for a domain; `any` and `none` serve all others
    mood: Mapping[str, Sequence[str]]  # words for a stance or tone, likewise
    level: Mapping[str, Mapping[str, Sequence[Variant]]]  # axis -> level -> sentences
    any_level: Sequence[Variant]  # for every other axis and level


def _choice(value: Any) -> Choice:
    if isinstance(value, Mapping):
        return {key: _choice(part) for key, part in value.items()}
    return _sentences(value)


def _sentences(texts: Sequence[str]) -> tuple[Variant, ...]:
    return tuple(Variant(text) for text in texts)


def _choices(table: Mapping[str, Any]) -> dict[str, Choice]:
    return {name: _choice(value) for name, value in table.items() if not isinstance(value, str)}


class Fragments:
    """The fragment files of one directory, each parsed when it is first asked for."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory: Traversable = directory or resources.files(__package__) / "fragments"
        self._facets: dict[str, Facet] = {}

    @cached_property
    def _files(self) -> dict[str, Traversable]:
        files = {_slug(file.name.removesuffix(".toml")): file for file in self._directory.iterdir()}
        return {name: file for name, file in files.items() if file.name.endswith(".toml")}

    def _table(self, name: str) -> dict[str, Any]:
        file = self._files.get(name)
        return {} if file is None else tomllib.loads(file.read_text(encoding="utf-8"))

    def facet(self, name: str | None) -> Facet:
        """The facet's own sentences, or the general ones where it has none."""
        slug = _slug(name or GENERAL)
        slug = slug if slug in self._files and slug not in ("axes", "situations") else GENERAL
        if slug not in self._facets:
            self._facets[slug] = self._read_facet(slug)
        return self._facets[slug]

    def _read_facet(self, slug: str) -> Facet:
        table = self._table(slug)
        assistant = dict(table["assistant"])
        orders = assistant.pop("order")
        return Facet(
            name=table["facet"],
            cases=table["cases"],
            orders=orders,
            user=_choices(table["user"]),
            assistant=_choices(assistant),
            hollow=_choices(table["hollow"]),
            evidence=table.get("evidence", {}),
            rungs={kind: _choices(parts) for kind, parts in table.get("rungs", {}).items()},
        )

    @cached_property
    def axes(self) -> Axes:
        table = self._table("axes")
        others = {
            level: [Pair(pair["other"], pair["your_other"]) for pair in group["pairs"]]
            for level, group in table.get("other", {}).items()
        }
        return Axes(_choices(table.get("user", {})), _choices(table.get("assistant", {})), others)

    @cached_property
    def telling(self) -> Telling:
        table = self._table("situations")
        return Telling(
            opening=_sentences(table["opening"]),
            other=_sentences(table["other"]),
            place=table["place"],
            mood=table["mood"],
            level={
                axis: {level: _sentences(texts) for level, texts in levels.items()}
                for axis, levels in table["level"].items()
            },
            any_level=_sentences(table["any_level"]),
        )


def _slug(name: str) -> str:
    return _WORD_BREAK.sub("-", name.lower()).strip("-")


@cache
def shipped() -> Fragments:
    """The fragments that come with the package; read once in a process."""
    return Fragments()
