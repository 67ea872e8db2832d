"""Everything that answers: one protocol, and a teacher from its SPEC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RecipeError
from .base import Ask, Message, Outcome, Sampling, Teacher, Usage

if TYPE_CHECKING:
    from ..recipe import JudgeSettings, TeacherSettings

__all__ = ["Ask", "Message", "Outcome", "Sampling", "Teacher", "Usage", "make"]

SPECS = "rehearsal, openai:MODEL, openai:MODEL@BASE_URL, vllm:MODEL_OR_PATH, langchain:package.ClassName:MODEL"


def make(spec: str, settings: TeacherSettings | JudgeSettings, *, judge: bool = False) -> Teacher:
    """The teacher (or judge) that `spec` names; opens no connection yet.

    Raises RecipeError for a SPEC of no known form, MissingExtraError where a package is not installed.
    """
    provider, _, rest = spec.partition(":")
    if provider == "rehearsal":
        from . import rehearsal

        return rehearsal.from_dials(rest, judge=judge)
    if provider == "openai" and rest:
        from .endpoint import EndpointTeacher

        model, _, base_url = rest.partition("@")
        return EndpointTeacher(model, base_url=base_url or None, settings=settings)
    if provider == "langchain" and ":" in rest:
        from .chatmodel import from_class

        class_path, _, model = rest.partition(":")
        return from_class(class_path, model, settings=settings)
    if provider == "vllm" and rest:
        from .engine import EngineTeacher

        return EngineTeacher(rest, settings=settings)
    raise RecipeError(
        what=f"the model {spec!r} is of no known form",
        why="it says who writes or judges",
        do=f"use one of {SPECS}",
    )
