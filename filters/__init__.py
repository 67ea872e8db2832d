"""thousandfold.filters: says of each text yes or no, and why. Pure, no network, nothing of `gen`.

Names load when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .duplicates import near_duplicates
    from .form import form, form_scores
    from .minhash import MinHashIndex
    from .tics import Tics, tics
    from .tics_families import tic_families
    from .tics_rates import tic_rates
    from .verdict import VERDICT, FilterError

__all__ = [  # noqa: RUF022 (plain order)
    "FilterError",
    "MinHashIndex",
    "Tics",
    "VERDICT",
    "form",
    "form_scores",
    "near_duplicates",
    "tic_families",
    "tic_rates",
    "tics",
]

_HOME = {
    "FilterError": "verdict",
    "MinHashIndex": "minhash",
    "Tics": "tics",
    "VERDICT": "verdict",
    "form": "form",
    "form_scores": "form",
    "near_duplicates": "duplicates",
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
