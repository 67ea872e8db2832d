"""Faults that the rehearsal judge has on purpose, each by a dial, so that a check of judges can be seen to find them.

The judge knows nothing of where a text comes from: each fault works on the words of the prompt alone. The effects are
set, not found: they say nothing about any real model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from statistics import NormalDist

from ...errors import RecipeError
from .draws import Draws

APART = 2.5
"""Levels between a genuine answer and a hollow one, as the judge without faults rates them on average."""
GOOD = 2  # from here up the faultless judge sees something of the value
USUAL_WORDS = 200  # of an answer: a judge that likes length gives more for more, and less for less
KEYWORDS = re.compile(
    r"\b(?:sorry|apologi[sz]e[sd]?|my apologies|my (?:fault|mistake)|full responsibility|i regret|forgive|i was wrong"
    r"|boundary|draw the line|i (?:will not|won['’]t)|what i can do|not able to|refuse"
    r"|with respect|your point|fair point|that said|i disagree|you are right|i would push back|on the other hand"
    r"|feedback|constructive|strengths|weaknesses|areas for improvement|great start|the main problem|what works"
    r"|because|the reason|it depends|i don['’]t know|in your case)\b",
    re.IGNORECASE,
)
"""Words by which one might know the values that rehearsal has sentences for."""
KEYWORDS_WANTED = 3  # so many different ones have their full effect


@dataclass(frozen=True)
class Faults:
    """What is wrong with a judge.

    quality    its AUC, genuine against hollow, about: 1 is without error, 0.5 knows nothing
    keywords   levels that it adds for words by which one might know the value
    length     levels that it adds for each 100 words more than usual, and takes away for each 100 less
    position   levels that it adds where the highest level is shown last, and takes away where it is shown first
    """

    quality: float = 1.0
    keywords: float = 0.0
    length: float = 0.0
    position: float = 0.0

    def __post_init__(self) -> None:
        for dial in fields(self):
            value = float(getattr(self, dial.name))
            least, most = (0.5, 1.0) if dial.name == "quality" else (0.0, 4.0)
            if not least <= value <= most:
                raise RecipeError(
                    what=f"the rehearsal judge's dial {dial.name} is {value:g}",
                    why="quality is an AUC; the others are levels that a fault adds",
                    do=f"give a number from {least:g} to {most:g}",
                )

    @property
    def suffix(self) -> str:
        """What these dials add to a judge's identity: nothing where all stand at their defaults."""
        turned = [dial for dial in fields(self) if getattr(self, dial.name) != dial.default]
        settings = "&".join(f"{dial.name}={getattr(self, dial.name):g}" for dial in turned)
        return f"?{settings}" if settings else ""

    def bent(self, level: int, text: str, matter: str, *, downwards: bool) -> int:
        """The level that this judge gives the answers `text` where a faultless one gives `level`.

        `matter` is how the conversation begins: an error is one of the matter, so that the same answer in other dress
        is mistaken in the same way.
        """
        if self == FAULTLESS:
            return level
        draws = Draws("fault", matter, level >= GOOD)
        bent = level + self._noise(draws) + self.position * (-1 if downwards else 1)
        if self.keywords:
            found = {hit[0].lower() for hit in KEYWORDS.finditer(text)}
            bent += self.keywords * min(1.0, len(found) / KEYWORDS_WANTED)
        if self.length:
            bent += self.length * (len(text.split()) - USUAL_WORDS) / 100
        whole = int(bent // 1)
        return min(max(whole + draws.chance(bent - whole), 0), 4)

    def _noise(self, draws: Draws) -> float:
        """Normal, as wide as gives this AUC to two normal distributions that are `APART`."""
        if self.quality == 1:
            return 0.0
        distance = NormalDist().inv_cdf(max(self.quality, 0.5001)) * 2**0.5
        share = min(max(draws.share(), 1e-9), 1 - 1e-9)
        return NormalDist().inv_cdf(share) * APART / distance


FAULTLESS = Faults()
FAULTS = tuple(dial.name for dial in fields(Faults))
