"""Loaded by tox before it looks for Pythons: lets it find those that pyenv holds but has not activated.

pyenv puts a `python3.12` on PATH for every version it holds, and that command fails unless the version is
active, so tox would skip a Python that is there. With every version named in PYENV_VERSION, each command
answers for its own version; the active ones stay first, so that plain `python3` means what it meant.
"""

from __future__ import annotations

import os
import shutil
import subprocess


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


def _activate_every_version() -> None:
    pyenv = shutil.which("pyenv")
    if pyenv is None or "PYENV_VERSION" in os.environ:
        return
    active = [version for line in _lines(pyenv, "version-name") for version in line.split(":")]
    versions = dict.fromkeys(active + _lines(pyenv, "versions", "--bare"))
    if versions:
        os.environ["PYENV_VERSION"] = ":".join(versions)


_activate_every_version()
