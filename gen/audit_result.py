"""fresh labels → how many of the texts that count are good, and what may be said of it: from the ledger alone.

What was fixed beforehand decides which statement may be made; the one for a fixed size is never made early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .audit_book import AuditBook, AuditPlan
from .guarantees import betting_bound, exact_bound
from .labelbook import Act, Place
from .output import Output

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Part:
    """Fresh labels of some texts: `good` of `labels`, and what their share is at least; None: nothing may be said."""

    good: int
    labels: int
    bound: float | None


@dataclass(frozen=True)
class Audit:
    """What people say of the texts that a release ships.

    plan       what was fixed before the first label
    found      of all texts that count: `good`, `labels`, `bound` (one-sided, 95 %)
    facets     the same by facet, each bound for itself
    complete   whether all is labelled that the plan asks for; a plan that may stop early is complete at its target
    rule       what the bound is, or why there is none, in words
    who        name -> labels of the texts that count
    first, last  when the first and the last of these labels was given
    rate       share of good texts among all shipped, by labels and scores (PPI++): estimate, low, high at 95 %; None
               and `no_rate` says why
    """

    plan: AuditPlan
    found: Part
    facets: Mapping[str, Part]
    complete: bool
    rule: str
    who: Mapping[str, int]
    first: str | None
    last: str | None
    rate: tuple[float, float, float] | None = None
    no_rate: str | None = None

    @property
    def release(self) -> str:
        return self.plan.release

    @property
    def target_met(self) -> bool | None:
        """Whether the bound reaches the target; None where there is no bound."""
        return None if self.found.bound is None else self.found.bound >= self.plan.target

    def as_dict(self) -> dict[str, Any]:
        plan = {name: value for name, value in asdict(self.plan).items() if name not in ("release", "number")}
        return {
            "release": self.release,
            "good": self.found.good,
            "labels": self.found.labels,
            "bound": self.found.bound,
            "confidence": CONFIDENCE,
            "rule": self.rule,
            "complete": self.complete,
            "target_met": self.target_met,
            "facets": [{"facet": facet, **asdict(part)} for facet, part in self.facets.items()],
            "rate": self.rate and dict(zip(("estimate", "low", "high"), self.rate, strict=True)),
            "no_rate": self.no_rate,
            "who": dict(self.who),
            "first_label_at": self.first,
            "last_label_at": self.last,
            "plan": plan,
        }


def audit_in(book: AuditBook, plan: AuditPlan) -> Audit:
    """The audit as its labels stand, from the ledger alone: without the rate, which needs the release's scores."""
    counted = _complete_at(plan, book.drawn(plan), book.log())
    return _summed(plan, counted)


def audits_in(output: Output) -> list[Audit]:
    """Every audit that was planned in an output directory, the last one last; writes nothing."""
    with AuditBook(output.ledger_path, "", read_only=True) as book:
        last = {plan.release: plan for plan in book.plans()}
        found = []
        for plan in sorted(last.values(), key=lambda plan: plan.number):
            book.release = plan.release
            found.append(audit_in(book, plan))
    return found


def levels_in(book: AuditBook, plan: AuditPlan) -> dict[str, float]:
    """id -> the mean level of each text that counts."""
    return {text.id: text.level for text in _complete_at(plan, book.drawn(plan), book.log()).texts}


@dataclass(frozen=True)
class _Text:
    id: str
    facet: str
    level: float
    acts: tuple[Act, ...]


@dataclass(frozen=True)
class _Counted:
    texts: Sequence[_Text]  # with all their labels, in the order of the draw
    all_there: bool


def _complete_at(plan: AuditPlan, drawn: Sequence[Place], log: Sequence[Act]) -> _Counted:
    """The texts that count: of a fixed plan as they were when the last was labelled, else as they are now."""
    ids = {place.id for place in drawn}
    said: dict[str, dict[str, list[Act]]] = defaultdict(dict)  # id -> who -> labels that were not withdrawn
    missing = set(ids)
    by_number: dict[int, Act] = {}
    for act in log:
        if act.act == "undo" and act.withdraws in by_number:
            gone = by_number.pop(act.withdraws)
            said[gone.place.id][gone.who].remove(gone)
        elif act.act == "label" and act.place.id in ids and act.at >= plan.at:
            by_number[act.number] = act
            said[act.place.id].setdefault(act.who, []).append(act)
        else:
            continue
        touched = act.place.id
        if _labels_of(plan, said[touched]):
            missing.discard(touched)
        else:
            missing.add(touched)
        if plan.rule == "fixed" and not missing:
            break
    texts = []
    for place in drawn:
        acts = _labels_of(plan, said[place.id])
        if acts:
            level = float(np.mean([act.level for act in acts]))
            texts.append(_Text(place.id, place.facet, level, tuple(acts)))
        elif plan.rule == "stop_early":
            break  # what was skipped or is on another's screen may be worse than the rest
    return _Counted(texts, all_there=not missing)


def _labels_of(plan: AuditPlan, said: Mapping[str, Sequence[Act]]) -> list[Act]:
    """The labels of a text that count; none unless all are there."""
    last = {who: acts[-1] for who, acts in said.items() if acts}
    if not plan.who:
        given = {acts[0].number: acts[-1] for acts in said.values() if acts}  # who was first may mend their own
        return [given[min(given)]] if given else []
    return [last[who] for who in plan.who] if all(who in last for who in plan.who) else []


def _summed(plan: AuditPlan, counted: _Counted) -> Audit:
    allowed = bool(counted.texts) and (plan.rule == "stop_early" or counted.all_there)
    facets = {
        facet: [t for t in counted.texts if t.facet == facet] for facet in sorted({t.facet for t in counted.texts})
    }
    whole = _part(plan, counted.texts, allowed=allowed)
    acts = [act for text in counted.texts for act in text.acts]
    names = sorted({act.who for act in acts})
    met = whole.bound is not None and whole.bound >= plan.target
    return Audit(
        plan=plan,
        found=whole,
        facets={facet: _part(plan, texts, allowed=allowed) for facet, texts in facets.items()},
        complete=counted.all_there or (plan.rule == "stop_early" and met),
        rule=_rule(plan, whole),
        who={name: sum(act.who == name for act in acts) for name in names},
        first=min((act.at for act in acts), default=None),
        last=max((act.at for act in acts), default=None),
    )


def _part(plan: AuditPlan, texts: Sequence[_Text], *, allowed: bool) -> Part:
    good = [text.level >= plan.good_from for text in texts]
    if not allowed:
        return Part(sum(good), len(good), None)
    if plan.rule == "fixed":
        return Part(sum(good), len(good), exact_bound(sum(good), len(good), confidence=CONFIDENCE))
    return Part(sum(good), len(good), float(betting_bound(good, confidence=CONFIDENCE)[-1]))


def _rule(plan: AuditPlan, whole: Part) -> str:
    if plan.rule == "stop_early":
        if whole.bound is None:
            return "betting bound, which holds after each label: there is none yet, because the first text is open"
        return "betting bound, one-sided 95 %: holds at all times at once, so labelling may stop at any text"
    if whole.bound is None:
        return (
            f"no bound: {plan.size} labels were fixed beforehand and {whole.labels} are there; the exact bound, looked "
            "at before the last, is wrong in about 15 % of audits instead of 5 %"
        )
    return f"exact bound (Clopper-Pearson), one-sided 95 %, of {plan.size} texts, a size fixed beforehand"
