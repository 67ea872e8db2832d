"""What the card says of preference pairs: how many, why the others are not there, and how alike the two sides are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .text import escaped

SIDES = ("chosen", "rejected")


def card_section(pairs: Mapping[str, Any]) -> str:
    """Markdown for the facts of `pair_facts`."""
    lines = [_counts(pairs)]
    if pairs["left_out"]:
        reasons = ", ".join(f"{escaped(reason)} {count}" for reason, count in pairs["left_out"].items())
        lines.append(f"- left out, by reason: {reasons} (each is in `tables/pairs.parquet`)")
    if pairs["kept"]:
        lines += [_limits(pairs), _forms(pairs), _tics(pairs)]
    return "\n".join(lines)


def _counts(pairs: Mapping[str, Any]) -> str:
    facets = ", ".join(f"{escaped(facet)} {count}" for facet, count in pairs["by_facet"].items())
    where = f" in `formats/preference/pairs.jsonl` (`id`, `prompt`, `chosen`, `rejected`): {facets}" if facets else ""
    return (
        f"- {pairs['kept']} pairs of {pairs['asked_for']} asked for{where}. `chosen` is the exemplar's last turn,"
        " `rejected` its hollow twin: the same person, answered politely and by the book, without the value"
    )


def _limits(pairs: Mapping[str, Any]) -> str:
    limits = pairs["limits"]
    return (
        f"- median length of a rejected answer: {pairs['median_length_ratio']:.2f} of the chosen one's; in a pair the"
        f" longer has at most {limits['length_ratio']:g} times the words of the shorter, the kinds of markup are the"
        f" same, and paragraphs differ by {limits['paragraphs']} at most"
    )


def _forms(pairs: Mapping[str, Any]) -> str:
    chosen, rejected = (pairs["forms"][side] for side in SIDES)
    shares = ", ".join(f"{name} {chosen[name]:.0%} and {rejected[name]:.0%}" for name in chosen if name != "paragraphs")
    return (
        f"- form, chosen and rejected: {shares}; paragraphs {chosen['paragraphs']:.1f} and {rejected['paragraphs']:.1f}"
    )


def _tics(pairs: Mapping[str, Any]) -> str:
    told = []
    for side in SIDES:
        found = pairs["tics"][side]
        phrase = next(iter(found["phrases"]), None)
        most = f", the most frequent phrase “{escaped(phrase['phrase'])}” in {phrase['rate']:.1%}" if phrase else ""
        told.append(
            f"{side}: largest family of openings {found['openings']['top_share']:.1%}, of closings"
            f" {found['closings']['top_share']:.1%}{most}, phrases five times as frequent as on the other side"
            f" {found['listed']}"
        )
    return f"- tics, {'; '.join(told)}"
