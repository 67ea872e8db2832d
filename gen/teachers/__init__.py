"""Everything that answers: one protocol, and a teacher from its SPEC."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import RecipeError
from .base import Ask, Message, Outcome, Sampling, Teacher, Usage

if TYPE_CHECKING:
    from ..recipe import JudgeSettings, TeacherSettings

__all__ = ["Ask", "Message", "Outcome", "Sampling", "Teacher", "Usage", "make"]

SPECS = "rehearsal, openai:MODEL, openai:MODEL@BASE_URL, vllm:MODEL_OR_PATH, langchain:package.ClassName:MODEL"


def make(
    spec: str, settings: TeacherSettings | JudgeSettings, *, judge: bool = False, concurrency: int | None = None
) -> Teacher:
    """The teacher (or judge) that `spec` names; opens no connection yet.

    `concurrency` is how many asks a server is given at once; None: as many as it takes, found out as it goes.

    Raises RecipeError for a SPEC of no known form, MissingExtraError where a package is not installed.
    """
    provider, _, rest = spec.partition(":")
    if provider == "rehearsal":
        from . import rehearsal

        return rehearsal.from_dials(rest, judge=judge)
    if provider == "openai" and rest:
        from .endpoint import EndpointTeacher

        model, base_url = _address(spec, rest)
        return EndpointTeacher(model, base_url=base_url, settings=settings, concurrency=concurrency)
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


def _address(spec: str, rest: str) -> tuple[str, str | None]:
    """(model, base URL or None) of `MODEL@BASE_URL`; a model's own name may hold an @."""
    if re.search(r"@https?://([^/]*@|.*[?#])", rest):
        raise RecipeError(
            what=f"the address of {spec.partition('@http')[0]!r} holds a password or a query",
            why="a SPEC is written into the manifest and shown on the screen; a secret in it would be, too",
            do="put the key into the environment variable OPENAI_API_KEY, and give the bare address",
        )
    found = re.fullmatch(r"(.+?)(?:@(https?://.+))?", rest)
    if found is None or not (_is_address(found[2]) if found[2] else "@" not in rest):
        raise RecipeError(
            what=f"the model {spec!r} is not MODEL, nor MODEL@ and an address",
            why="a model at an address that is not one would be asked of api.openai.com",
            do="write the address in full, for example openai:MODEL@http://127.0.0.1:8000/v1",
        )
    return found[1], found[2]


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket left open
        return False
