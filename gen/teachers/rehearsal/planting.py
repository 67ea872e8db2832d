"""kind → a flaw on clean ground: everything that rehearsal can plant, by name. It knows nothing of filters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from . import copies, disclosures, flaws, slips
from .composed import Composed, Flawed, Sources
from .draws import Draws
from .flaws import COPIES, Kind
from .phrases import Fragments
from .writer import conversation

NO_SOURCES = Sources()
ANY = 2.0  # more than any Jaccard: whatever comes out is a copy


class Ground:
    """What a flaw is planted on.

    own      what is flawed, or copied
    host     another conversation for the same context; it is composed when it is first looked at
    sources  what the teacher was shown
    near     the Jaccard from which two answers count as near copies
    """

    def __init__(
        self, own: Composed, host: Callable[[], Composed], sources: Sources = NO_SOURCES, near: float = 0.7
    ) -> None:
        self.own, self.sources, self.near = own, sources, near
        self._host = host

    @cached_property
    def host(self) -> Composed:
        return self._host()


@dataclass(frozen=True)
class Planter:
    """How one kind is planted.

    of        what `Ground.own` must be: a conversation that nobody else has, or one that stands in the set
    for_host  whether the flawed draft answers in `host`'s situation, and not in `own`'s
    """

    plant: Callable[[Ground, Draws], Flawed | None]
    of: Literal["fresh", "clean", "sealed"] = "fresh"
    for_host: bool = False


def alone(
    kind: Kind, own: Composed, fragments: Fragments, sources: Callable[[], Sources], draws: Draws
) -> Flawed | None:
    """A flaw that a teacher makes without knowing what else is written: what the dials plant, but the first three.

    A copy repeats the case's one canonical answer whatever it is asked. None for a kind that is not planted here.
    """
    if kind in COPIES:
        cluster = flaws.cluster_of(own.scene)
        fixed = Draws("canonical", cluster)
        scene = flaws.canonical_scene(own.scene, fragments, fixed)
        source = Composed(scene, own.situation, conversation(scene, fixed), cluster)
        if kind == "slot_swap":
            return copies.slot_swap(source, own, draws, below=ANY)
        return copies.paraphrase(source, draws, below=ANY) if kind == "paraphrase" else None
    if kind == "echo":
        return slips.echo_any(own, draws, sources())
    make = _ALONE.get(kind)
    return make(own, draws) if make else None


_ALONE: Mapping[Kind, Callable[[Composed, Draws], Flawed]] = {
    "loop": slips.loop_any,
    "leaked_instruction": slips.leaked_instruction,
    "tic": slips.tic,
    "refusal": slips.refusal,
    "broken": slips.broken_any,
    "other_language": slips.other_language,
    "secret": disclosures.any_secret,
}


def _near_copy(low: float, high: float) -> Planter:
    return Planter(lambda on, draws: copies.near_copy(on.own, on.host, draws, low=low, high=high), "clean", True)


def _slip(make: Callable[[Composed, Draws], Flawed | None]) -> Planter:
    return Planter(lambda on, draws: make(on.own, draws))


def _echo(make: Callable[[Composed, Draws, Sources], Flawed | None]) -> Planter:
    return Planter(lambda on, draws: make(on.own, draws, on.sources))


def _hollow(own: Composed, draws: Draws) -> Flawed:
    made = flaws.hollow(own.scene, draws)
    return Flawed(made.messages, made.because)


def _as_it_is(own: Composed, _: Draws) -> Flawed:
    """A lineage leak is no flaw of the text: whoever plants it gives it a sealed seed."""
    return Flawed(own.exemplar.messages, own.exemplar.because)


PLANTERS: Mapping[str, Planter] = {
    "copy": Planter(lambda on, _: copies.copy(on.own, on.host), "clean", True),
    "near_copy_85": _near_copy(0.85, 0.95),
    "near_copy_75": _near_copy(0.75, 0.85),
    "near_copy_70": _near_copy(0.70, 0.75),
    "near_copy_60": _near_copy(0.60, 0.70),
    "slot_swap": Planter(lambda on, draws: copies.slot_swap(on.own, on.host, draws, below=on.near), "fresh", True),
    "paraphrase": Planter(lambda on, draws: copies.paraphrase(on.own, draws, below=on.near), "clean"),
    "repeated_prompt": Planter(lambda on, _: copies.repeated_prompt(on.own, on.host), "clean", True),
    "cut_in_sentence": _slip(slips.cut_in_sentence),
    "cut_by_limit": _slip(slips.cut_by_limit),
    "cut_at_sentence_end": _slip(slips.cut_at_sentence_end),
    "loop_words": _slip(slips.loop_words),
    "loop_sentence": _slip(slips.loop_sentence),
    "loop_paragraph": _slip(slips.loop_paragraph),
    "echo_seed": _echo(slips.echo_seed),
    "echo_prompt": _echo(slips.echo_prompt),
    "echo_context": _echo(slips.echo_context),
    "leaked_instruction": _slip(slips.leaked_instruction),
    "broken_json": _slip(slips.broken_json),
    "broken_markdown": _slip(slips.broken_markdown),
    "wrong_roles": _slip(slips.wrong_roles),
    "empty_turn": _slip(slips.empty_turn),
    "no_reason": Planter(lambda on, _: slips.no_reason(on.host, on.own), "fresh", True),
    "too_short": _slip(slips.too_short),
    "refusal": _slip(slips.refusal),
    "other_script": _slip(slips.other_script),
    "other_language": _slip(slips.other_language),
    "secret": _slip(disclosures.secret),
    "personal_data": _slip(disclosures.personal_data),
    "lineage_leak": _slip(_as_it_is),
    "leaked_prompt": Planter(lambda on, draws: copies.leaked_prompt(on.own, on.host, draws), "sealed", True),
    "reworded_prompt": Planter(lambda on, draws: copies.reworded_prompt(on.own, on.host, draws), "sealed", True),
    "opening_tic": _slip(slips.tic),
    "hollow": _slip(_hollow),
}
"""In the order in which they are shown."""
