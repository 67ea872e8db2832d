"""thousandfold.gen: from seeds to a release.

Names are loaded when they are first used, so that importing the package costs almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import alternative_annotator_test, krippendorff_alpha, weighted_kappa
    from .ahead import Plan, plan
    from .api import Run, load, run, teacher
    from .asking import StopSignal
    from .audit_result import Audit
    from .breadth import diversity
    from .calibration import Calibrated, calibrate
    from .covering import covering_plan
    from .drilling import Drill, drill
    from .errors import (
        DamageError,
        InterruptedRunError,
        LockedError,
        MissingExtraError,
        OfflineError,
        OutputError,
        RecipeError,
        StorageError,
        TeacherError,
        TeacherSetUpError,
        ThousandfoldError,
    )
    from .events import Event
    from .frame_judging import judge
    from .guarantees import (
        Accepted,
        Rate,
        betting_bound,
        conformal_selection,
        corpus_rate,
        exact_bound,
        high_probability_selection,
    )
    from .judge_audit import audit
    from .judge_check import FacetCheck, JudgeCheck, check_judge
    from .judge_trust import Trust, Trusted, trust
    from .labelbook import labels
    from .probe import Shortcut, shortcut_probe
    from .probe_style import Style, style_probe
    from .promise_check import HeldOut, PeopleAndJudge, held_out, people_and_judge
    from .recipe import Rubric
    from .recorded_rows import Recorded, recorded
    from .selection import Selection, select
    from .teachers.base import Ask, Message, Outcome, Sampling, Teacher, Usage

__all__ = [
    "Accepted",
    "Ask",
    "Audit",
    "Calibrated",
    "DamageError",
    "Drill",
    "Event",
    "FacetCheck",
    "HeldOut",
    "InterruptedRunError",
    "JudgeCheck",
    "LockedError",
    "Message",
    "MissingExtraError",
    "OfflineError",
    "Outcome",
    "OutputError",
    "PeopleAndJudge",
    "Plan",
    "Rate",
    "RecipeError",
    "Recorded",
    "Rubric",
    "Run",
    "Sampling",
    "Selection",
    "Shortcut",
    "StopSignal",
    "StorageError",
    "Style",
    "Teacher",
    "TeacherError",
    "TeacherSetUpError",
    "ThousandfoldError",
    "Trust",
    "Trusted",
    "Usage",
    "alternative_annotator_test",
    "audit",
    "betting_bound",
    "calibrate",
    "check_judge",
    "conformal_selection",
    "corpus_rate",
    "covering_plan",
    "diversity",
    "drill",
    "exact_bound",
    "held_out",
    "high_probability_selection",
    "judge",
    "krippendorff_alpha",
    "labels",
    "load",
    "people_and_judge",
    "plan",
    "recorded",
    "run",
    "select",
    "shortcut_probe",
    "style_probe",
    "teacher",
    "trust",
    "weighted_kappa",
]

_HOME = {
    **dict.fromkeys(("Plan", "plan"), "ahead"),
    **dict.fromkeys(("FacetCheck", "JudgeCheck", "check_judge"), "judge_check"),
    **dict.fromkeys(("Trust", "Trusted", "trust"), "judge_trust"),
    **dict.fromkeys(("Calibrated", "calibrate"), "calibration"),
    **dict.fromkeys(("alternative_annotator_test", "krippendorff_alpha", "weighted_kappa"), "agreement"),
    **dict.fromkeys(("Accepted", "Rate", "betting_bound", "conformal_selection"), "guarantees"),
    **dict.fromkeys(("corpus_rate", "exact_bound", "high_probability_selection"), "guarantees"),
    **dict.fromkeys(("Drill", "drill"), "drilling"),
    **dict.fromkeys(("Run", "load", "run", "teacher"), "api"),
    **dict.fromkeys(("HeldOut", "PeopleAndJudge", "held_out", "people_and_judge"), "promise_check"),
    **dict.fromkeys(("Recorded", "recorded"), "recorded_rows"),
    **dict.fromkeys(("Ask", "Message", "Outcome", "Sampling", "Teacher", "Usage"), "teachers.base"),
    **dict.fromkeys(("Selection", "select"), "selection"),
    **dict.fromkeys(("Shortcut", "shortcut_probe"), "probe"),
    **dict.fromkeys(("Style", "style_probe"), "probe_style"),
    "Audit": "audit_result",
    "Event": "events",
    "Rubric": "recipe",
    "StopSignal": "asking",
    "audit": "judge_audit",
    "covering_plan": "covering",
    "diversity": "breadth",
    "judge": "frame_judging",
    "labels": "labelbook",
}
"""Public name -> the module it lives in; every other one is an error."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
