"""Which seeds are near-copies of each other: they are one lineage, so that no split can part them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WHOLE, PERSON = 0.5, 0.7
"""Jaccard of word 5-grams, of whole conversations and of the person's turns. Half a conversation in common is a copy;
short questions share half their words by their form alone ("what do I do about …")."""


def lineages(conversations: Sequence[Sequence[Mapping[str, str]]]) -> list[int]:
    """For each conversation the number of the first one that it hangs together with; its own where it stands alone.

    Two hang together where their person's turns or their whole texts are near-copies, or both copy a third.
    """
    from thousandfold import filters  # loads what sketches

    first = list(range(len(conversations)))

    def root(at: int) -> int:
        while first[at] != at:
            at = first[at]
        return at

    for threshold, roles in ((PERSON, {"user"}), (WHOLE, {"system", "user", "assistant"})):
        texts = ["\n".join(turn["content"] for turn in turns if turn["role"] in roles) for turns in conversations]
        for at, cluster in enumerate(filters.near_duplicates(texts, threshold=threshold)["cluster"]):
            one, other = sorted((root(at), root(cluster)))
            first[other] = one
    return [root(at) for at in range(len(conversations))]
