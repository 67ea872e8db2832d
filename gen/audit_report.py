"""An audit in words: for a screen, for `status`, and for the card and the manifest of the release after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .audit_result import Audit, Part, audits_in
from .output import Output


def audit_lines(found: Audit) -> Iterator[str]:
    """What `thousandfold judge audit` says."""
    plan = found.plan
    early = "at most, and may stop early" if plan.rule == "stop_early" else "fixed beforehand"
    by = f"by {', '.join(plan.who)}, each of every text" if plan.who else "the first label of each text counts"
    yield f"audit of release {found.release}: {plan.size} of {plan.shipped} shipped texts drawn, {early}"
    yield f"good: level {plan.good_from:g} and up; {by}"
    yield f"{_words(found.found)}{_beside_target(found)}"
    yield found.rule
    for facet, part in found.facets.items():
        yield f"  {facet}: {_words(part)}"
    if found.who:
        people = ", ".join(f"{name} {count}" for name, count in found.who.items())
        yield f"labelled by {people}, from {found.first} to {found.last}"
    if found.rate is not None:
        yield "of all shipped texts {:.1%} are good ({:.1%} to {:.1%}, 95 %, PPI++)".format(*found.rate)
    elif found.found.bound is not None:
        yield f"no rate with an interval: {found.no_rate}"


def _words(part: Part) -> str:
    share = f"{part.good} of {part.labels} good"
    return share if part.bound is None else f"{share}; at least {part.bound:.1%} of all"


def _beside_target(found: Audit) -> str:
    if found.target_met is None:
        return f" so far; the target is {found.plan.target:.1%}"
    return f"; the target of {found.plan.target:.1%} is {'reached' if found.target_met else 'not reached'}"


def quoted(found: Audit) -> dict[str, Any]:
    """What another release may say of it."""
    whole = found.as_dict()
    names = ("release", "good", "labels", "bound", "confidence", "rule", "complete", "last_label_at")
    return {name: whole[name] for name in names} | {"size": found.plan.size, "good_from": found.plan.good_from}


def last_audit(output: Output) -> dict[str, Any] | None:
    """`quoted` of the newest audit that has a bound; None where there is none."""
    bounded = [found for found in audits_in(output) if found.found.bound is not None]
    return quoted(bounded[-1]) if bounded else None


def quotation(audit: Mapping[str, Any]) -> str:
    """One sentence for the card of a later release: whose audit it is, and that it says nothing of this one."""
    return (
        f"Release {audit['release']} was audited: {audit['good']} of {audit['labels']} fresh labels good, so at least "
        f"{audit['bound']:.1%} of it ({audit['rule']}). An audit is about the texts of its own release; for this one "
        "it is stale until `thousandfold judge audit` is done again."
    )


def status_lines(audits: Sequence[Mapping[str, Any]], latest: str | None) -> Iterator[str]:
    """One line an audit, and one where the latest release has none of its own."""
    for audit in audits:
        share = f"{audit['good']} of {audit['labels']} good"
        if audit["bound"] is None:
            yield f"audit of {audit['release']}: {share} so far, {audit['size']} to label; no bound yet"
        else:
            stale = "" if audit["release"] == latest else f"; stale for {latest}"
            yield f"audit of {audit['release']}: {share}, at least {audit['bound']:.1%} ({audit['rule']}){stale}"
    if latest is not None and all(audit["release"] != latest for audit in audits):
        yield f"release {latest} has not been audited: thousandfold judge audit OUT"
