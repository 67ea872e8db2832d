"""card → situations, and situation → scene: what a conversation will be about."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .draws import Draws
from .phrases import SOMEONE, Axes, Choice, Facet, Fragments, Pair, Telling, Variant, variants
from .questions import Question

_YOUR, _YOU = re.compile(r"\byour\b"), re.compile(r"\byou\b")

IN_OPENING = ("domain", "stance", "tone", "relationship")  # axes that a situation's first sentences tell


@dataclass(frozen=True)
class Scene:
    """All that a conversation is about: facet, shared sentences, the card's levels, one case, one person."""

    facet: Facet
    axes: Axes
    levels: Mapping[str, str]
    case: Mapping[str, str]
    pair: Pair

    @property
    def slots(self) -> dict[str, str]:
        return {**self.case, **self.pair.slots}

    def say(self, choice: Choice | None, draws: Draws, **more: str) -> str:
        """One variant, filled; the empty string where the move has none that this scene can fill."""
        offered = variants(choice, frozenset(self.levels.values()))
        return first_fitting(offered, draws, {**self.slots, **more})

    def say_level(self, table: Mapping[str, Choice], axis: str, draws: Draws) -> str:
        """The shared sentence for the card's level of an axis; empty where nobody wrote one."""
        by_level = table.get(axis)
        level = self.levels.get(axis, "")
        return self.say(by_level.get(level), draws) if isinstance(by_level, Mapping) else ""


def first_fitting(offered: Sequence[Variant], draws: Draws, slots: Mapping[str, str]) -> str:
    """A drawn variant, filled, or the next one whose slots are all given; empty where there is none."""
    if not offered:
        return ""
    start = draws.below(len(offered))
    turned = (offered[(start + step) % len(offered)] for step in range(len(offered)))
    return next((variant.fill(slots) for variant in turned if variant.slots <= slots.keys()), "")


def scene_of(question: Question, fragments: Fragments, draws: Draws) -> Scene:
    """The scene that a situation tells: its case by the topic named in it, its other person likewise.

    What the situation leaves open, the conversation may tell, where there is one already.
    """
    facet = fragments.facet(question.facet)
    told, said = question.situation.casefold(), question.conversation.casefold()
    cases = facet.cases_of(question.levels.get("domain"))
    named = [case for case in cases if case["topic"].casefold() in told]
    named = named or [case for case in cases if case["topic"].casefold() in said]
    case = max(named, key=lambda case: len(case["topic"])) if named else draws.pick(cases)
    pairs = fragments.axes.pairs_of(question.levels.get("relationship"))
    met = [pair for pair in pairs if their_other(pair).casefold() in told]
    met = met or [pair for pair in pairs if pair.other.casefold() in said]
    pair = max(met, key=lambda pair: len(pair.your_other)) if met else draws.pick(pairs)
    return Scene(facet, fragments.axes, question.levels, case, pair)


def their_other(pair: Pair) -> str:
    """The other person as a third party sees them: "their sister"."""
    return _YOU.sub("them", _YOUR.sub("their", pair.your_other))


def situations(question: Question, fragments: Fragments, draws: Draws, *, likelier: float = 0.0) -> str:
    """The reply to a scenario ask: as many different situations as it wants, as JSON.

    `likelier` is added to the probability that each states.
    """
    facet = fragments.facet(question.facet)
    pairs = fragments.axes.pairs_of(question.levels.get("relationship"))
    cases: list[Mapping[str, str]] = []
    while len(cases) < question.how_many:
        cases += draws.shuffled(draws.few(facet.cases_of(question.levels.get("domain"))))
    entries = []
    for case in cases[: question.how_many]:
        scene = Scene(facet, fragments.axes, question.levels, case, draws.pick(pairs))
        told = _situation(scene, question, fragments.telling, draws)
        # The likelihood of a single situation unprompted: small, and they need not sum to one.
        entries.append({"situation": told, "probability": round(0.02 + 0.2 * draws.share() + likelier, 2)})
    return json.dumps({"situations": entries}, ensure_ascii=False)


def _situation(scene: Scene, question: Question, telling: Telling, draws: Draws) -> str:
    levels = question.levels
    slots = {
        **scene.slots,
        "place": _worded(telling.place, levels.get("domain"), draws),
        "mood": _worded(telling.mood, levels.get("stance", levels.get("tone")), draws),
        "their_other": their_other(scene.pair),
    }
    sentences = [first_fitting(telling.opening, draws, slots)]
    if scene.pair is not SOMEONE:
        sentences.append(first_fitting(telling.other, draws, slots))
    axes = [axis for axis in levels if axis not in IN_OPENING]
    for axis in draws.shuffled(axes)[: 1 + draws.below(2)]:
        offered = telling.level.get(axis, {}).get(levels[axis], telling.any_level)
        of_axis = {"axis": axis, "level": levels[axis]}
        if question.described.get(axis):
            of_axis["description"] = question.described[axis].rstrip(".")
        sentences.append(first_fitting(offered, draws, slots | of_axis))
    return " ".join(sentences)


def _worded(table: Mapping[str, Sequence[str]], level: str | None, draws: Draws) -> str:
    """Words for a level: its own, the general ones, or those for a card without this axis."""
    offered = table["none"] if level is None else table.get(level, table["any"])
    return draws.pick(offered).format(level=level)
