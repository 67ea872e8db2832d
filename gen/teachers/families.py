"""Whose model is it? A judge is never of a teacher's family."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

_PATTERNS = (
    (r"^rehearsal-teacher", "rehearsal-teacher"),
    (r"^rehearsal-judge", "rehearsal-judge"),
    (r"\bgpt|^o[1-9]\b|chatgpt|davinci", "gpt"),
    (r"claude", "claude"),
    (r"gemini|gemma", "gemini"),
    (r"llama|vicuna|alpaca", "llama"),
    (r"qwen|qwq", "qwen"),
    (r"mistral|mixtral|ministral|magistral", "mistral"),
    (r"deepseek", "deepseek"),
    (r"\bphi(?:\b|\d)", "phi"),
    (r"grok", "grok"),
    (r"\bcommand\b", "command"),
    (r"glm\b|glm\d", "glm"),
    (r"kimi", "kimi"),
    (r"nemotron", "nemotron"),
)
"""(pattern, family): the first that is found in the model's own name decides."""


def family_of(model: str) -> str:
    """The family of `model`; its own name in lower case where no pattern knows it."""
    name = _own_name(model)
    for pattern, family in _PATTERNS:
        if re.search(pattern, name, re.IGNORECASE):
            return family
    return name.lower()


def family_told(model: str, families: Mapping[str, str]) -> str | None:
    """What `families` (pattern with * and ? -> family) says of `model`; None where no pattern fits.

    A pattern fits the whole identity (`openai:org/name`) or the model's own name, in capitals or not; the first that
    does decides.
    """
    identity = model.lower()
    own = identity.partition(":")[2] or identity
    names = {identity, own, _own_name(own)}
    for pattern, family in families.items():
        if any(fnmatchcase(name, pattern.lower()) for name in names):
            return family
    return None


def _own_name(model: str) -> str:
    return model.rpartition("/")[2] or model
