"""texts → queue: which text a person is shown next, and with which probability it was drawn.

Decides by hashes of seed and id alone, so that every labeller has the same queue and each may stop and go on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest

from .labelbook import Place

IN_A_ROW = 5  # texts of one facet before the next: who reads one rubric five times reads it once
PRIOR_LABELS = 2.0  # what the judge's band counts for in active mode, in labels, until people have said more
NO_BAND = "none"  # unscored or unjudged


@dataclass(frozen=True)
class Text:
    """One text that may be labelled: `band` is the judge's level, rounded, as a digit, or NO_BAND. Never shown."""

    id: str
    facet: str
    band: str


def band_of(level: float | None) -> str:
    return NO_BAND if level is None else str(int(level + 0.5))


def random_queue(texts: Sequence[Text], *, seed: int, release: str) -> list[Place]:
    """All `texts` in an order drawn at random within strata (facet and band), five of a facet in a row.

    In each facet the r-th text of a band of n, in the order of its hash, stands at (r − u) / n, with a random u in
    [0, 1) for each band: systematic sampling, so that every beginning of the facet's part holds each band in
    proportion, to less than one text, and every text has the same chance to be in it. `probability` is the share
    of the facet's texts up to and including this one.
    """
    parts: dict[str, list[tuple[float, float, Text]]] = {}
    for (facet, band), members in _strata(texts).items():
        start = _unit(seed, "start", facet, band)
        drawn = sorted((_unit(seed, "order", text.id), text) for text in members)
        keys = (((rank - start) / len(drawn), chance, text) for rank, (chance, text) in enumerate(drawn, 1))
        parts.setdefault(facet, []).extend(keys)
    queues = []
    for facet, part in sorted(parts.items()):
        order = [text for _, _, text in sorted(part)]
        shares = (count / len(order) for count in range(1, len(order) + 1))
        queues.append([Place(t.id, facet, "random", share, release) for t, share in zip(order, shares, strict=True)])
    return list(_in_turn(queues))


def active_batch(
    texts: Sequence[Text],
    said: Mapping[str, Sequence[int]],
    *,
    count: int,
    seed: int,
    batch: int,
    release: str,
) -> list[Place]:
    """`count` texts that nobody has labelled yet, from where one more label narrows the facets' intervals most.

    `said` is text id -> the levels that people gave. The part of a stratum (facet and band) in the batch is found
    label by label, each where (n_h / n)² s_h² (1/m_h − 1/(m_h + 1)) is largest: m_h texts there have labels so far,
    and s_h² ≤ p (1 − p), with p their mean level as a share, drawn towards the band's own level as by two labels
    (exact optimal allocation, Wright 2012; the bound is Bhatia and Davis 2000). A stratum without labels comes
    first. Within a stratum the hash draws; `probability` is the stratum's part of the batch over its texts that
    nobody has labelled.
    """
    open_texts = [text for text in texts if text.id not in said]
    strata, unlabelled = _strata(texts), _strata(open_texts)
    of_facet: dict[str, int] = {}
    for (facet, _), members in strata.items():
        of_facet[facet] = of_facet.get(facet, 0) + len(members)
    heap = []
    for (facet, band), members in unlabelled.items():
        weight = len(strata[facet, band]) / of_facet[facet]
        levels = [sum(said[t.id]) / len(said[t.id]) / 4 for t in strata[facet, band] if t.id in said]
        spread = weight * weight * _variance(levels, band)
        heap.append(_Stratum(facet, band, spread, len(levels), len(members)))
    allotted = _allocate(heap, count)
    queues: dict[str, list[tuple[float, Place]]] = {}
    for key, number in allotted.items():
        chances = sorted((_unit(seed, "active", str(batch), text.id), text.id) for text in unlabelled[key])
        for chance, draft_id in chances[:number]:
            place = Place(draft_id, key[0], "active", number / len(chances), release)
            queues.setdefault(key[0], []).append((chance, place))
    ordered = [[place for _, place in sorted(part, key=lambda pair: pair[0])] for _, part in sorted(queues.items())]
    return list(_in_turn(ordered))


def is_shared(draft_id: str, *, seed: int, overlap: float) -> bool:
    """Whether a text is for every labeller; the others are for the first who comes to them."""
    return _unit(seed, "overlap", draft_id) < overlap


@dataclass(frozen=True)
class _Stratum:
    facet: str
    band: str
    spread: float
    labels: int
    left: int

    def after(self) -> _Stratum:
        return _Stratum(self.facet, self.band, self.spread, self.labels + 1, self.left - 1)

    def entry(self) -> tuple[bool, float, str, str, _Stratum]:
        gain = self.spread / (self.labels * (self.labels + 1)) if self.labels else self.spread
        return self.labels > 0, -gain, self.facet, self.band, self


def _allocate(strata: Iterable[_Stratum], count: int) -> dict[tuple[str, str], int]:
    heap = [stratum.entry() for stratum in strata if stratum.left]
    heapq.heapify(heap)
    given: dict[tuple[str, str], int] = {}
    while heap and count:
        *_, stratum = heapq.heappop(heap)
        given[stratum.facet, stratum.band] = given.get((stratum.facet, stratum.band), 0) + 1
        count -= 1
        if stratum.left > 1:
            heapq.heappush(heap, stratum.after().entry())
    return given


def _variance(shares: Sequence[float], band: str) -> float:
    """A bound on the variance of levels (as shares of 4) in a band; never 0, since nobody is always right."""
    prior = 0.5 if band == NO_BAND else min(max(int(band) / 4, 0.1), 0.9)
    mean = (sum(shares) + PRIOR_LABELS * prior) / (len(shares) + PRIOR_LABELS)
    return mean * (1 - mean)


def _strata(texts: Iterable[Text]) -> dict[tuple[str, str], list[Text]]:
    found: dict[tuple[str, str], list[Text]] = {}
    for text in texts:
        found.setdefault((text.facet, text.band), []).append(text)
    return found


def _in_turn(queues: Sequence[Sequence[Place]]) -> Iterator[Place]:
    """Five of each queue in turn, until all are at their end."""
    blocks = [[queue[i : i + IN_A_ROW] for i in range(0, len(queue), IN_A_ROW)] for queue in queues]
    for turn in zip_longest(*blocks, fillvalue=()):
        for block in turn:
            yield from block


def _unit(seed: int, *parts: str) -> float:
    """A number in [0, 1) from a hash, the same everywhere."""
    digest = sha256("\0".join((str(seed), *parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
