"""What can go wrong, each as what happened / why it matters / what to do.

ThousandfoldError                 exit 1
├── RecipeError                   exit 2    the recipe, a seed, an option or an argument is wrong
├── OutputError                   exit 2    OUT is not ours, not writable, or holds no such id
├── TeacherError                  exit 1    a teacher or judge cannot be reached or used
│   ├── MissingExtraError         exit 2    an optional package is not installed
│   └── TeacherSetUpError         exit 1    a teacher answers, and not as it must
├── OfflineError                  exit 1    --offline, and replies are missing
├── DamageError                   exit 1    something on disk is not what was written
├── StorageError                  exit 1    the disk is full or failed
├── LockedError                   exit 75   another run holds the lock
└── InterruptedRunError           exit 130 or 143
"""

from __future__ import annotations

from functools import partial
from typing import Any


class ThousandfoldError(Exception):
    """The root of every error a user can meet; the three parts are attributes of the same name."""

    exit_code = 1

    def __init__(self, *, what: str, why: str, do: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.do = do

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  do:  {self.do}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by their positional arguments; a worker process must be able to send these home.
        return partial(type(self), what=self.what, why=self.why, do=self.do), (), self.__dict__


class RecipeError(ThousandfoldError):
    """The recipe, a seed, an option or an argument is wrong."""

    exit_code = 2


class OutputError(ThousandfoldError):
    """The output directory is not ours, cannot be written, or holds no such id or release."""

    exit_code = 2


class TeacherError(ThousandfoldError):
    """A teacher or judge cannot be reached, refused the key, or does not exist."""


class TeacherSetUpError(TeacherError):
    """A teacher has no reply to any of the first asks, or breaks the protocol: no outage, so nothing to sit out."""


class MissingExtraError(TeacherError):
    """An optional package that this teacher needs is not installed."""

    exit_code = 2


class OfflineError(ThousandfoldError):
    """`--offline` was given and the ledger does not hold every reply that is needed."""


class DamageError(ThousandfoldError):
    """A file of a release, or the ledger, is not what was written."""


class StorageError(ThousandfoldError):
    """The disk is full or refused a write."""


class LockedError(ThousandfoldError):
    """Another run holds the lock on this output directory."""

    exit_code = 75


class InterruptedRunError(ThousandfoldError):
    """Ctrl-C (130) or SIGTERM (143): what was in flight was finished and kept."""

    def __init__(self, *, what: str, why: str, do: str, signum: int = 2) -> None:
        super().__init__(what=what, why=why, do=do)
        self.exit_code = 128 + signum
