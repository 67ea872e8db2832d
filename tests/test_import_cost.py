"""Starting is cheap: heavy packages load when a command needs them. Looked for in sys.modules, never timed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What makes a start slow (polars 160 ms, openai 520, datasketch 500, measured) or is not installed for everybody.
HEAVY = {
    "aiohttp",
    "altair",
    "datasketch",
    "langchain_core",
    "numba",
    "numpy",
    "openai",
    "polars",
    "pyarrow",
    "ray",
    "rich",
    "scipy",
    "torch",
    "vllm",
}

HELP = """
import sys
from thousandfold.gen.cli import main
sys.argv = ["thousandfold", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def packages_loaded_by(code: str) -> set[str]:
    """The top-level packages in sys.modules after a fresh interpreter has run `code`."""
    tell = "\nimport json, sys; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    answer = subprocess.run([sys.executable, "-c", code + tell], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return set(json.loads(answer.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(HELP, id="thousandfold --help"),
        pytest.param("from thousandfold import gen", id="from thousandfold import gen"),
        pytest.param("from thousandfold import gen; dir(gen)", id="dir(gen)"),
        pytest.param("from thousandfold import filters", id="from thousandfold import filters"),
        pytest.param("from thousandfold import prompts", id="from thousandfold import prompts"),
    ],
)
def test_starting_loads_no_heavy_package(code: str) -> None:
    loaded = packages_loaded_by(code)
    assert "thousandfold" in loaded
    assert sorted(loaded & HEAVY) == []


def test_the_probe_sees_a_heavy_package_that_was_loaded() -> None:
    assert packages_loaded_by("import numpy") & HEAVY == {"numpy"}


def test_help_lists_the_commands_it_would_have_to_load_packages_for() -> None:
    answer = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert [name for name in ("run", "plan", "refresh", "verify") if f"  {name} " in answer.stdout] == [
        "run",
        "plan",
        "refresh",
        "verify",
    ]
