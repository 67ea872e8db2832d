"""What a run accepted, and under which promise, in words for the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .text import escaped


def acceptance_notes(told: Mapping[str, Any] | None) -> list[str]:
    """One note for the facets that labels decided, and one for those that they could not; none where none was asked."""
    if told is None:
        return []
    filtered = [facet for facet in told["facets"] if facet["filtered"]]
    others = [facet for facet in told["facets"] if not facet["filtered"]]
    notes = []
    if filtered:
        counts = "; ".join(map(_words, filtered))
        notes.append(
            f"**Accepted by people's labels.** By {told['promise']}. This is said of the accepted drafts of each "
            "value, before the sampler chose among them; a text that people labelled is decided by them. "
            f"{escaped(counts)}."
        )
    if others:
        whys = "; ".join(f"{facet['facet']}: {facet['why_not']}" for facet in others)
        notes.append(f"**Not filtered, though the recipe asks for it.** {escaped(whys)}.")
    return notes


def _words(facet: Mapping[str, Any]) -> str:
    weak = f" ({facet['share']:.0%} of those without a label: too weak a judge for that)" if facet["too_weak"] else ""
    return f"{facet['facet']}: {facet['accepted']} of {facet['drafts']} drafts, from {facet['labels']} labels{weak}"
