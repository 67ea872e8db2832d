"""Flaws that rehearsal plants on purpose, and the truth about each reply, so that filters can be measured."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from ...errors import RecipeError
from ..base import Message
from .draws import Draws
from .phrases import Fragments, variants
from .scenes import Scene
from .writer import Exemplar, exchange, levels_told, moves, paragraphs

Kind = Literal[
    "clean", "near_copy", "cut_off", "hollow",
    "slot_swap", "paraphrase", "loop", "echo", "leaked_instruction",
    "tic", "refusal", "broken", "other_language", "secret",
]  # fmt: skip
"""What a reply can be. All but `clean` are dials too, in the order in which a drawn share is spent on them: a new one
goes to the end, with 0 for its default, so that replies under the old dials stay what they are."""

COPIES: frozenset[Kind] = frozenset({"near_copy", "slot_swap", "paraphrase"})

CANONICAL = {"kind": "advice", "fault": "shared", "difficulty": "values conflict", "stakes": "costly"}
"""The card of every near-copy: a copy repeats one old answer whatever it is asked."""

SWAPPED_SHARE = 0.14
"""Most words of the swapped sentence, as a share of the words before it. Two copies that end on different
sentences of w words each, n words before them, have Jaccard n / (n + 2w): 0.78 at w = 0.14 n."""

LAST_PART = 0.7  # a cut-off answer keeps at least this share of its characters

_MID_SENTENCE = re.compile(r"(?<=\w) (?=\w)")


@dataclass(frozen=True)
class Dials:
    """The shares of exemplars that are flawed on purpose, and of replies that come from a few favourites."""

    near_copy: float = 0.02
    cut_off: float = 0.01
    hollow: float = 0.03
    slot_swap: float = 0.0
    paraphrase: float = 0.0
    loop: float = 0.0
    echo: float = 0.0
    leaked_instruction: float = 0.0
    tic: float = 0.0
    refusal: float = 0.0
    broken: float = 0.0
    other_language: float = 0.0
    secret: float = 0.0
    collapse: float = 0.0  # no flaw of any one text: see `collapse`

    def __post_init__(self) -> None:
        shares = {dial.name: getattr(self, dial.name) for dial in fields(self)}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise RecipeError(
                    what=f"the rehearsal dial {name} is {share!r}",
                    why="a dial is the share of exemplars that get this flaw",
                    do="give a number from 0 to 1",
                )
        shares.pop("collapse")
        if sum(shares.values()) > 1:
            turned = ", ".join(name for name, share in shares.items() if share)
            raise RecipeError(
                what=f"the rehearsal dials {turned} add up to {sum(shares.values()):g}",
                why="every exemplar gets at most one flaw, so the shares cannot exceed 1 together",
                do="lower one of them",
            )

    @property
    def suffix(self) -> str:
        """What these dials add to a model's identity: nothing where all stand at their defaults."""
        turned = [dial for dial in fields(self) if getattr(self, dial.name) != dial.default]
        settings = "&".join(f"{dial.name}={getattr(self, dial.name):g}" for dial in turned)
        return f"?{settings}" if settings else ""


@dataclass(frozen=True)
class Truth:
    """What rehearsal knows about one of its replies."""

    kind: Kind
    cluster: str | None = None  # of a copy: the case that it copies, equal for all its copies


def decide(dials: Dials, draws: Draws) -> Kind:
    """Which flaw this exemplar gets, if any."""
    share = draws.share()
    kinds: tuple[Kind, ...] = get_args(Kind)
    for kind in kinds[1:]:
        size = getattr(dials, kind)
        if share < size:
            return kind
        share -= size
    return kinds[0]


def cluster_of(scene: Scene) -> str:
    return f"{scene.facet.name} / {scene.case['topic']}"


def canonical_scene(scene: Scene, fragments: Fragments, fixed: Draws) -> Scene:
    """The case on the one card that every copy of it is written for."""
    pair = fixed.pick(fragments.axes.pairs_of("friend"))
    return replace(scene, levels={**CANONICAL, "relationship": "friend"}, pair=pair)


def near_copy(scene: Scene, fragments: Fragments, draws: Draws) -> Exemplar:
    """The case's one canonical conversation with its last sentence exchanged for another."""
    cluster = cluster_of(scene)
    fixed = Draws("canonical", cluster)
    canonical = canonical_scene(scene, fragments, fixed)
    told = levels_told(canonical, fixed)
    said = moves(canonical, told, fixed)
    last = said[-1][0]
    kept = [text for _, text in said[:-1]]
    room = SWAPPED_SHARE * sum(len(text.split()) for text in kept)
    closes = variants(scene.facet.assistant.get(last), frozenset(canonical.levels.values()))
    filled = [close.fill(canonical.slots) for close in closes]
    short = [close for close in filled if len(close.split()) <= room]
    ending = draws.pick(short or [min(filled, key=len)])
    because = next((text for move, text in said[:-1] if move == "because"), ending)
    return exchange(canonical, told, paragraphs([*kept, ending], fixed), because, fixed)


def hollow(scene: Scene, draws: Draws) -> Exemplar:
    """Polite and by the book, without the value."""
    table = scene.facet.hollow
    chosen = draws.shuffled(variants(table["body"]))[: 4 + draws.below(2)]
    body = [variant.fill(scene.slots) for variant in chosen]
    answer = [scene.say(table["open"], draws), *body, scene.say(table["close"], draws)]
    return exchange(scene, levels_told(scene, draws), paragraphs(answer, draws), draws.pick(body), draws)


def cut_off(exemplar: Exemplar, draws: Draws) -> Exemplar:
    """The answer stops in the middle of one of its last sentences, after its reason where there is room."""
    answer = exemplar.messages[-1].content
    places = [gap.start() for gap in _MID_SENTENCE.finditer(answer, int(len(answer) * LAST_PART))]
    after = [place for place in places if place > answer.find(exemplar.because) + len(exemplar.because)]
    cut = answer[: draws.pick(after or places)]
    last = Message("assistant", cut)
    return Exemplar((*exemplar.messages[:-1], last), exemplar.because)


def cut_json(text: str, draws: Draws) -> str:
    """The reply as a token limit leaves it: the JSON itself is not closed."""
    return text[: int(len(text) * (0.6 + 0.35 * draws.share()))]
