"""The data card of a release: what it holds, how it was made, and what is not known about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from .acceptance_report import acceptance_notes
from .audit_report import quotation
from .breadth_report import card_section
from .expression_report import card_section as expression_section
from .pairs import PATH as PAIRS_PATH
from .pairs_report import card_section as pairs_section
from .people_report import card_section as people_section
from .people_report import licences
from .probe_report import alarms
from .recipe import Recipe
from .text import escaped

REHEARSAL_NOTE = (
    "**This release is a rehearsal.** It was composed offline from hand-written fragments by a stand-in that is "
    "not a language model. It shows what the pipeline does; it is not training data."
)
UNJUDGED_NOTE = (
    "**Unjudged.** No judge was configured. Drafts were ranked by a measure of form, which knows nothing of the value."
)
UNCHECKED_NOTE = (
    "**Judge unchecked.** The scores rank; they do not filter, and nobody has yet shown that this judge agrees "
    "with people."
)

FILTERING_NOTE = (
    "**Judge unchecked.** The scores rank, and filter as far as people's labels of them allow; no test has shown that "
    "this judge reads the value and not its words."
)


def card_text(recipe: Recipe, facts: Mapping[str, Any], exemplars: pl.DataFrame) -> str:
    """README.md of a release, with `{name}` where the release's name goes."""
    settings, funnel = recipe.settings, facts["funnel"]
    sections = [
        _front_matter(recipe, exemplars.height, facts),
        f"# {escaped(settings.name)}, release {{name}}",
        escaped(settings.description),
        *_notes(recipe, facts),
        "## What is in it",
        _counts(facts, exemplars),
        "## Values",
        *(f"- **{escaped(r.facet)}**: {escaped(r.definition)}" for r in recipe.rubrics.values()),
        *(
            ("## How evenly the values are expressed", expression_section(facts["expression"]))
            if "expression" in facts
            else ()
        ),
        "## How it was made",
        _made(facts),
        *(("## What people wrote", people_section(facts["people"], funnel["people"])) if "people" in facts else ()),
        "## From contexts to exemplars",
        _funnel_table(funnel),
        "## Coverage",
        *(_axis_table(axis, exemplars, recipe, facts.get("levels", {}).get(axis, {})) for axis in recipe.axes),
        *(("## How varied it is", card_section(facts["diversity"])) if facts.get("diversity") else ()),
        *(("## How it begins, ends and repeats itself", _tics(facts["tics"])) if "tics" in facts else ()),
        *(("## Preference pairs", pairs_section(facts["pairs"])) if "pairs" in facts else ()),
        "## What is not known",
        _limits(facts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(recipe: Recipe, size: int, facts: Mapping[str, Any]) -> str:
    import yaml

    settings = recipe.settings
    pairs = facts.get("pairs", {}).get("kept", 0)
    named = licences(settings.licence, facts.get("people"))
    preference = {"config_name": "preference", "data_files": [{"split": "train", "path": PAIRS_PATH}]}
    fields = {
        "pretty_name": settings.name,
        "license": named if len(named) > 1 else named[0],
        "language": [settings.language],
        "task_categories": ["text-generation"],
        "size_categories": [next((name for limit, name in _SIZES if size < limit), "100K<n<1M")],
        "tags": ["synthetic", "thousandfold"],
        "configs": [
            {"config_name": "train", "default": True, "data_files": [{"split": "train", "path": "train/sft.jsonl"}]},
            {"config_name": "heldout", "data_files": [{"split": "test", "path": "heldout/*.jsonl"}]},
            *([preference] if pairs else []),
        ],
    }
    return f"---\n{yaml.safe_dump(fields, allow_unicode=True, sort_keys=False)}---"


_SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def _notes(recipe: Recipe, facts: Mapping[str, Any]) -> list[str]:
    notes = [REHEARSAL_NOTE] if facts["rehearsal"] else []
    accepted = acceptance_notes(facts.get("acceptance"))
    notes.append(_judge_note(facts, filters=bool(accepted)))
    notes += accepted
    if recipe.settings.filters.off:
        notes.append(f"**Filters switched off by the recipe:** {', '.join(recipe.settings.filters.off)}.")
    if facts["exit"] == 3:
        notes.append("**Partial.** The run stopped at its budget before the pool was full.")
    notes += [f"**{escaped(text).replace(':', ':**', 1)}." for text in alarms(facts.get("pairs", {}))]
    if facts["shortfalls"]:
        short = "; ".join(f"{s['axis']} = {s['level']}: {s['got']} of {s['wanted']}" for s in facts["shortfalls"])
        notes.append(f"**Short of its quotas:** {escaped(short)}.")
    if facts.get("capped"):
        full = "; ".join(f"{c['family']} “{c['value']}”: {c['limit']} at most" for c in facts["capped"])
        notes.append(f"**Places left empty by caps on openings, closings and teachers:** {escaped(full)}.")
    return notes


def _judge_note(facts: Mapping[str, Any], *, filters: bool) -> str:
    """What has been shown of the judge; `filters` where labels and scores decide what may be selected."""
    if facts["judged"] == "unjudged":
        return UNJUDGED_NOTE
    if facts["judged"] == "checked":
        untried = sorted({test for check in facts["judge_checks"] for test in check["not_tried"]})
        dates = ", ".join(sorted({check["checked_at"][:10] for check in facts["judge_checks"]}))
        return f"**Judge checked** on every value ({dates})." + (
            f" Not tried: {', '.join(untried)}." if untried else ""
        )
    if facts["judged"] == "unchecked":
        return FILTERING_NOTE if filters else UNCHECKED_NOTE
    said = escaped(facts["judge_said"])
    does = "rank, and filter as far as people's labels of them allow" if filters else "rank; they do not filter"
    return f"**{said[:1].upper()}{said[1:]}.** The scores {does}."


def _counts(facts: Mapping[str, Any], exemplars: pl.DataFrame) -> str:
    funnel = facts["funnel"]
    turns = exemplars["messages"].list.len()
    return (
        f"{exemplars.height} exemplars in `train/sft.jsonl` (`id`, `messages`; greedy order, so that every prefix is a "
        f"good smaller set) and {funnel['heldout']} sealed prompts in `heldout/` (the person's turns only). "
        f"{int((turns > 2).sum())} of the conversations have more than one exchange. Every exemplar states its reason "
        f"in its last turn{' (people need not)' if 'people' in facts else ''}. Axes, "
        "scores, evidence and everything that was dropped, with the reason, are in `tables/`, joined by `id`."
    )


def _made(facts: Mapping[str, Any]) -> str:
    judge = facts["models"]["judge"]
    cost = facts["cost"]
    usd = "unknown (no price is given for a model)" if cost["usd"] is None else f"{cost['usd']:.4f} USD"
    lines = [
        *_teachers(facts["models"]),
        f"- judge: `{judge['model']}` (family {judge['family']})" if judge else "- judge: none",
        *_levels(facts.get("judges", ())),
        f"- rounds: {facts['rounds']}",
        f"- replies in the ledger: {cost['replies']} ({cost['failures']} final failures), "
        f"{cost['prompt_tokens'] + cost['completion_tokens']} tokens, cost {usd}" + _cache_words(cost),
        f"- selection certificate: {facts['certificate']:.3f} (the selected objective over a proven upper bound on "
        "the optimum)",
    ]
    return "\n".join(lines)


def _cache_words(cost: Mapping[str, Any]) -> str:
    """The share of the prompts that came from a cache, where the provider tells it."""
    share = cost.get("cached_share")
    return "" if share is None else f"; {share:.0%} of the prompt tokens came from the provider's cache"


def _levels(judges: Sequence[Mapping[str, Any]]) -> list[str]:
    """How each judge's levels came about."""
    return [
        f"- levels of `{judge['model']}`: {judge['logprobs']} by the log-probabilities of the digit, "
        f"{judge['samples']} by what it wrote; {judge['unscored']} texts without one"
        for judge in judges
    ]


def _teachers(models: Mapping[str, Any]) -> list[str]:
    several = models.get("teachers", [])
    if len(several) < 2:
        return [f"- teacher: `{models['teacher']['model']}` (family {models['teacher']['family']})"]
    return [
        f"- teacher: `{teacher['model']}` (family {teacher['family']}), share {teacher['share']:.0%}: "
        f"{teacher['drafts']} drafts, {teacher['kept']} kept by the filters, {teacher['selected']} selected"
        for teacher in several
    ]


def _funnel_table(funnel: Mapping[str, Any]) -> str:
    brought = funnel.get("people", {}).get("brought", 0)
    rows = [("contexts planned", funnel["contexts"]), ("drafts written", funnel["drafts"] - brought)]
    rows += [("conversations brought by people", brought)] if brought else []
    rows += [(f"dropped: {reason}", count) for reason, count in funnel["dropped"].items()]
    rows += [
        ("kept by the filters", funnel["kept"]),
        ("unscored (kept, not selectable)", funnel["unscored"]),
        *((("not accepted (kept, not selectable)", funnel["not_accepted"]),) if "not_accepted" in funnel else ()),
        ("pool", funnel["pool"]),
        ("selected", funnel["selected"]),
    ]
    return "\n".join(["| step | rows |", "|---|---:|", *(f"| {name} | {count} |" for name, count in rows)])


def _axis_table(axis: str, exemplars: pl.DataFrame, recipe: Recipe, told: Mapping[str, Mapping[str, int]]) -> str:
    """How many exemplars each level has, of how many it should have at the least where that is known."""
    counts = Counter(exemplars[axis])
    sealed = recipe.sealed_of(axis)

    def cell(level: str) -> str:
        least = f" (≥ {told[level]['target']})" if level in told else ""
        return f"{escaped(level)} " + ("sealed" if level in sealed else f"{counts[level]}{least}")

    return f"**{escaped(axis)}**: " + " · ".join(map(cell, recipe.levels[axis]))


def _tics(tics: Mapping[str, Any]) -> str:
    """Families of openings and closings, and the most frequent phrases beside the reference's rate."""
    lines = []
    for kind in ("openings", "closings"):
        found = tics[kind]
        low, high = found["top_interval"]
        lines.append(
            f"- {kind}: {found['families']} families, as even as {found['effective']:.1f} equal ones; the largest, "
            f"“{escaped(found['top'] or '')}”, has {found['top_share']:.1%} (95 % interval {low:.1%} to {high:.1%})"
        )
    of = f"in {escaped(tics['reference'])}"
    phrases = "; ".join(
        f"“{escaped(p['phrase'])}” {p['rate']:.1%}"
        + ("" if p["reference_rate"] is None else f" ({of} {p['reference_rate']:.1%})")
        for p in tics["phrases"]
    )
    lines.append(f"- most frequent phrases: {phrases or 'none'}")
    lines.append(f"- phrases at five times the rate {of} or more, and not by chance: {tics['listed']}")
    return "\n".join(lines)


def _limits(facts: Mapping[str, Any]) -> str:
    lines = [
        "- Whether a model trained on this expresses the values where no example stood has not been measured here.",
        "- Values differ between cultures; the rubrics state one reading, in `recipe/values/`.",
    ]
    if facts["judged"] != "unjudged":
        used = facts.get("acceptance", {}).get("labels", {}).get("texts", 0)
        people = f"people labelled {used} of the drafts" if used else "no human labels were used"
        lines.append(f"- Scores are the judge's; {people}.")
    if facts.get("last_audit"):
        lines.append(f"- {escaped(quotation(facts['last_audit']))}")
    return "\n".join(lines)
