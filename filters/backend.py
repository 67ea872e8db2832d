"""Who does the counting: kernels compiled by numba, or the same results from NumPy where numba is not at hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


@lru_cache(maxsize=1)
def backend() -> ModuleType:
    """`compiled`, or `portable` where numba is missing or does not load."""
    try:
        return import_module(".compiled", __package__)
    except Exception:  # noqa: BLE001 (a numba that does not fit its NumPy or LLVM fails in many ways, none of them ours)
        return import_module(".portable", __package__)


def kernel(function: Function) -> Function:
    """Compiles at the first call, without the interpreter's lock, and keeps the machine code on disk.

    numba keeps it beside the module, or in the user's cache folder where that is read-only; where neither can be
    written it is compiled anew in every process.
    """
    import numba  # loads in about 0.3 s

    try:
        return cast(Function, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:
        return cast(Function, numba.njit(nogil=True)(function))
