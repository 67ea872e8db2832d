"""What one endpoint takes, found out once by asking and then kept to: how it promises JSON, and what it refuses.

An ask that is refused for the form in which it was sent is sent again in the next one at once: no model has seen it,
nobody was charged, no try is used up, and its id is that of its words.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .base import Ask, Memory

Structured = Literal["json_schema", "json_object", "text"]

RUNGS: tuple[Structured, ...] = ("json_schema", "json_object", "text")
"""From what binds a model most to what binds it least; the last asks in words only, and every server takes it."""

AHEAD_SECONDS = 0.25
"""So long the others wait for the first ask of a form: a refusal comes before anything is computed, a reply later."""

REFUSING = frozenset({400, 404, 405, 422, 500, 501})
"""Statuses with which servers refuse a form; the words decide. 404: a router without a provider for it."""

_STRUCTURED = re.compile(
    r"response[ _]?(format|schema)|json[ _]?(schema|object|mode)|structured[ _]?output|output_config\.format"
    r"|guided[ _]?(json|decoding)|grammar|can handle the requested parameters",
    re.IGNORECASE,
)
_LOGPROBS = re.compile(r"log_?prob", re.IGNORECASE)
_REFUSED = r"not (?:supported|permitted|allowed|available)|unsupported|unrecogni[sz]ed|unknown|unexpected|extra_?\w*"
_SEED = re.compile(
    rf"\b(?:{_REFUSED})\b[^{{}}]{{0,80}}\bseed\b|\bseed\b[^{{}}]{{0,80}}\b(?:{_REFUSED})\b", re.IGNORECASE
)
_OF_THE_TEXT = re.compile(
    r"json_validate_failed|failed_generation|context.?(length|window)|too many tokens", re.IGNORECASE
)
"""Refusals that speak of this ask's text, whatever else they name."""

_BOUNDS = frozenset(
    {"minLength", "maxLength", "pattern", "minItems", "maxItems", "minimum", "maximum", "default", "title"}
)
"""What strict servers refuse and grammars choke on; bounds are checked by us when the reply is read, in any case."""


MOST_LOGPROBS, FEW_LOGPROBS = 20, 5
"""Alternatives for one token: what OpenAI and vLLM give at most, and what those servers take that refuse so many."""


def logprobs_for(ask: Ask, wanted: int | None) -> int:
    """The alternatives for each token that are asked for with `ask`; `wanted` None: as many as can be, for a level."""
    if wanted is None:
        return MOST_LOGPROBS if ask.purpose == "level" else 0
    return wanted


@dataclass(frozen=True)
class Form:
    """How asks are sent to an endpoint, apart from their words."""

    structured: Structured = "json_schema"
    logprobs: int | None = 0  # alternatives for each token, as `logprobs_for` reads it; 0: no log-probabilities
    most_logprobs: int = MOST_LOGPROBS
    seed: bool = True

    def logprobs_of(self, ask: Ask) -> int:
        return min(logprobs_for(ask, self.logprobs), self.most_logprobs)

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The request's fields for this form."""
        sent: dict[str, Any] = {"seed": ask.request_seed} if self.seed else {}
        if count := self.logprobs_of(ask):
            sent |= {"logprobs": True, "top_logprobs": count}
        if ask.schema is not None and self.structured != "text":
            sent["response_format"] = _response_format(ask, self.structured)
        return sent


class Abilities:
    """The form that one endpoint takes, shared by all asks in flight to it; made inside the event loop."""

    def __init__(self, place: str, *, structured: str, logprobs: int | None, memory: Memory | None = None) -> None:
        """`place` is `model at address`. `structured` is a rung, or `auto`: what the endpoint takes is found out.

        So are log-probabilities where `logprobs` is None: of levels, as many as it gives.
        """
        self._place = place
        self._memory = memory
        self._asked = logprobs
        noted = (memory.recall(self._key) if memory is not None else None) or {}
        without = noted.get("without", [])
        self._auto = structured == "auto"
        known = noted.get("structured") if self._auto else structured
        self._known = known in RUNGS
        self._ahead: asyncio.Event | None = None
        self.form = Form(
            structured=next((rung for rung in RUNGS if rung == known), RUNGS[0]),
            logprobs=0 if "logprobs" in without else logprobs,
            most_logprobs=noted.get("most_logprobs", MOST_LOGPROBS),
            seed="seed" not in without,
        )

    @property
    def _key(self) -> str:
        return f"abilities of {self._place}"

    async def turn(self, ask: Ask) -> Form:
        """The form to send `ask` in. While it is unproven one ask goes ahead, and the others wait a moment for it."""
        while ask.schema is not None and not self._known:
            ahead = self._ahead
            if ahead is None:
                self._ahead = asyncio.Event()
                asyncio.get_running_loop().call_later(AHEAD_SECONDS, self._ahead.set)
                break
            await ahead.wait()
            if ahead is self._ahead:
                break
        return self.form

    def answered(self, ask: Ask, form: Form) -> None:
        """A reply came to `ask` in this form: it is taken."""
        if ask.schema is None or self._known or form.structured != self.form.structured:
            return
        self._known = True
        self._let_go()
        self._note(None)

    def refused(self, ask: Ask, form: Form, status: int, body: str) -> bool:
        """Whether `ask`, refused in `form` with these words, may be sent again, in the form that is now known."""
        if form != self.form:  # found out by another ask meanwhile
            return True
        part = refused_part(status, body, ask, form)
        if part is None or (part == "structured" and not self._auto):
            return False
        said = " ".join(body.split())[:200]
        if part == "structured":
            lower = RUNGS[RUNGS.index(form.structured) + 1]
            words = f"{self._place} does not take {form.structured}; asked for {_IN_WORDS[lower]} from now on ({said})"
            self.form = replace(form, structured=lower)
            self._known = lower == RUNGS[-1]
        elif part == "logprobs" and form.logprobs_of(ask) > FEW_LOGPROBS:
            words = f"{self._place} does not take {form.logprobs_of(ask)} logprobs;"
            words += f" asked for {FEW_LOGPROBS} from now on ({said})"
            self.form = replace(form, most_logprobs=FEW_LOGPROBS)
        else:
            words = f"{self._place} does not take {part}; asked without from now on ({said})"
            self.form = replace(form, **({"logprobs": 0} if part == "logprobs" else {"seed": False}))
        self._let_go()
        self._note(words)
        return True

    def _let_go(self) -> None:
        if self._ahead is not None:
            self._ahead.set()
        self._ahead = None

    def _note(self, words: str | None) -> None:
        if self._memory is None:
            return
        gone = [
            name
            for name, is_gone in (
                ("logprobs", self._asked != 0 and self.form.logprobs == 0),
                ("seed", not self.form.seed),
            )
            if is_gone
        ]
        found: dict[str, Any] = {"structured": self.form.structured if self._auto and self._known else None}
        found["without"] = gone
        if self.form.most_logprobs < MOST_LOGPROBS:
            found["most_logprobs"] = self.form.most_logprobs
        self._memory.remember(self._key, found, words)


_IN_WORDS = {"json_object": "json_object", "text": "JSON in plain words"}


def refused_part(status: int, body: str, ask: Ask, form: Form) -> Literal["structured", "logprobs", "seed"] | None:
    """Which part of the form of `ask` a server's words refuse; None where they speak of something else."""
    if status not in REFUSING or _OF_THE_TEXT.search(body):
        return None
    if form.logprobs_of(ask) and _LOGPROBS.search(body):
        return "logprobs"
    if ask.schema is not None and form.structured != "text" and _STRUCTURED.search(body):
        return "structured"
    return "seed" if form.seed and status < 500 and _SEED.search(body) else None


def bare_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` without its bounds and defaults, as it is sent to a server: shape and types alone.

    Of a field that is called like a keyword nothing is taken away: only keywords of a schema are.
    """
    bare: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            bare[key] = {name: bare_schema(part) for name, part in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            bare[key] = bare_schema(value)
        elif key in ("anyOf", "allOf", "oneOf"):
            bare[key] = [bare_schema(part) for part in value]
        elif key not in _BOUNDS:
            bare[key] = value
    return bare


_bare: dict[int, tuple[Mapping[str, Any], dict[str, Any]]] = {}
"""id of a schema -> the schema (held, so that the id stays its own) and its bare form: there are a handful."""


def _response_format(ask: Ask, structured: Structured) -> dict[str, Any]:
    assert ask.schema is not None
    if structured == "json_object":
        return {"type": "json_object"}
    found = _bare.get(id(ask.schema))
    if found is None or found[0] is not ask.schema:
        if len(_bare) >= 64:
            _bare.clear()
        found = _bare[id(ask.schema)] = (ask.schema, bare_schema(ask.schema))
    return {"type": "json_schema", "json_schema": {"name": ask.purpose, "schema": found[1], "strict": True}}


def said_by(body: object, message: str) -> str:
    """All that an error says, as one text to look words up in."""
    return f"{message} {json.dumps(body, ensure_ascii=False, default=str)}" if body else message
