"""What the switches of [expansion] decide for one context: row by row, by hash, the same in every run.

They are for training and for sealed sets alike, with two exceptions. Control is asked for as it always was, because its
situations are not to call for the value. And `shots` are for training alone: a sealed prompt is written without any
lineage of training, and training without any that is sealed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from thousandfold.prompts import Prompt

from .settings import ExpansionSettings

WRITING = 2
"""Asks that write a draft as it comes: its situation, and the exemplar."""
REVISING = 2
"""Asks more with `revise`: the critique, and the revised exemplar."""


def expands(row: Mapping[str, Any]) -> bool:
    """Whether the switches are for this context: control is asked for as it always was."""
    return bool(row["set"] != "ctrl")


def writing_asks(settings: ExpansionSettings) -> int:
    """How many asks write one draft, where none of them fails."""
    return WRITING + (REVISING if settings.revise else 0)


def turned(row: Mapping[str, Any], what: str) -> int:
    """A whole number of 63 bits, by the context, its draw and what is chosen: choices do not depend on each other."""
    digest = sha256(f"{what}\0{row['id']}\0{row.get('draw', 0)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def exchanges(row: Mapping[str, Any], settings: ExpansionSettings) -> int | None:
    """How many exchanges are asked for; None where the teacher may decide."""
    place = turned(row, "turns") / 2**63
    for count, share in sorted(settings.turns.items()):
        if place < share:
            return int(count)
        place -= share
    return None


def pick(row: Mapping[str, Any], prompt: Prompt) -> str:
    """One item of a list, rotated by the context's hash; a context that is drawn again gets the next one."""
    first = turned({**row, "draw": 0}, prompt.name)
    items: tuple[str, ...] = prompt.items
    at: int = (first + row.get("draw", 0)) % len(items)
    return items[at]


def other_shots(row: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Ids of up to `count` seeds of the context's facet, each of another lineage than the own seed and the others.

    Rotated by the context's hash. None for a sealed context, and never a seed that is sealed.
    """
    own: Mapping[str, Any] = next(seed for seed in seeds if seed["id"] == row["seed_id"])
    if row["split"] != "train" or own["split"] != "train":
        return []
    sealed = {seed["lineage"] for seed in seeds if seed["split"] != "train"}
    offered = [
        seed
        for seed in seeds
        if seed["facet"] == row["facet"] and seed["lineage"] not in sealed and seed["lineage"] != own["lineage"]
    ]
    chosen: dict[str, str] = {}  # lineage -> seed
    for seed in sorted(offered, key=lambda seed: (turned(row, f"shots\0{seed['id']}"), seed["id"])):
        chosen.setdefault(seed["lineage"], seed["id"])
    return list(chosen.values())[:count]


def from_the_tail(candidates: Sequence[tuple[str, float]], *, tail: float, seed: int) -> str:
    """One of (situation, probability), drawn by `seed`: of those below `tail`, or else of the least likely ones.

    Verbalized Sampling, Zhang et al., arXiv 2510.01171.
    """
    least = min(probability for _, probability in candidates)
    rare = [text for text, probability in candidates if probability < tail or (least >= tail and probability == least)]
    return rare[seed % len(rare)]


def asks_of(draft: Mapping[str, Any]) -> dict[str, str]:
    """purpose -> id of each ask that wrote the draft, a row of DRAFTS, in the order in which they were asked."""
    earlier = draft.get("earlier_ask_ids") or ()  # an old release has no such column
    names = ("scenario", "exemplar", "critique", "revision") if earlier else ("scenario", "exemplar")
    asks = (draft["scenario_ask_id"], *earlier, draft["ask_id"])
    return {name: ask_id for name, ask_id in zip(names, asks, strict=True) if ask_id}


def prompt_files(settings: Mapping[str, Any], purpose: str, *, control: bool = False) -> list[str]:
    """The prompts that an ask of this purpose is made from, by the settings of [expansion] as a manifest has them."""
    if control and purpose in ("scenario", "exemplar"):
        return [f"control_{purpose}"]
    if purpose == "scenario" and settings.get("verbalised"):
        return ["verbalised_scenario"]
    if purpose not in ("exemplar", "revision"):
        return [purpose]
    first = f"prose_{purpose}" if settings.get("prose") else purpose
    added = {
        "shots": settings.get("shots") and purpose == "exemplar",
        "rotation": settings.get("rotation"),
        "turns": settings.get("turns"),
    }
    return [first, *(name for name, there in added.items() if there)]
