"""thousandfold.filters: says of each text yes or no, and why. Pure, no network, nothing of `gen`.

Names load when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contamination import contamination
    from .detection import Detection, detection
    from .duplicates import near_duplicates
    from .form import FORM_REASONS, form, form_scores
    from .index import MinHashIndex
    from .leaks import LeakIndex, leaks
    from .masks import content_words, slot_masked
    from .meaning import same_meaning
    from .minhash import datasketch_minhashes, minhash_signatures
    from .secrets import masked_secrets, secrets
    from .shingles import shingle_units
    from .tics import Tics, tics
    from .tics_families import tic_families
    from .tics_rates import tic_rates
    from .verdict import VERDICT, FilterError

__all__ = [  # noqa: RUF022 (plain order)
    "Detection",
    "FORM_REASONS",
    "FilterError",
    "LeakIndex",
    "MinHashIndex",
    "Tics",
    "VERDICT",
    "contamination",
    "content_words",
    "datasketch_minhashes",
    "detection",
    "form",
    "form_scores",
    "leaks",
    "masked_secrets",
    "minhash_signatures",
    "near_duplicates",
    "same_meaning",
    "secrets",
    "shingle_units",
    "slot_masked",
    "tic_families",
    "tic_rates",
    "tics",
]

_HOME = {
    "Detection": "detection",
    "FORM_REASONS": "form",
    "FilterError": "verdict",
    "LeakIndex": "leaks",
    "MinHashIndex": "index",
    "Tics": "tics",
    "VERDICT": "verdict",
    "contamination": "contamination",
    "content_words": "masks",
    "datasketch_minhashes": "minhash",
    "detection": "detection",
    "form": "form",
    "form_scores": "form",
    "leaks": "leaks",
    "masked_secrets": "secrets",
    "minhash_signatures": "minhash",
    "near_duplicates": "duplicates",
    "same_meaning": "meaning",
    "secrets": "secrets",
    "shingle_units": "shingles",
    "slot_masked": "masks",
    "tic_families": "tics_families",
    "tic_rates": "tics_rates",
    "tics": "tics",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `filters.form` the function: importing the module form.py would put the module in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
