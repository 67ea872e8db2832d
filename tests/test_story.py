"""The README is run: its commands line by line as a reader would paste them, its Python, and what it says is there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from thousandfold.gen.cli import main
from thousandfold.gen.judge_command import judge

from ._runs import COMMAND, ROOT, environment, release_in

README = (ROOT / "README.md").read_text(encoding="utf-8")
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".tox", ".venv", ".*_cache", ".hypothesis", ".coverage*", "__pycache__", "*.egg-info", "build", "dist"
)

# `pip install .` was done already, where the tests run: what it stands for is that the package can be imported.
PIP = """#!/bin/sh
test "$1" = install || exit 9
cd / && exec "$PYTHON" -c "from thousandfold import filters, gen, prompts"
"""


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if "tox" not in line]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the sources, as after a clone."""
    copy = tmp_path_factory.mktemp("story") / "thousandfold"
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND)
    for leftover in (copy / "outputs").iterdir():
        if leftover.name != "README.md":
            shutil.rmtree(leftover)
    return copy


@pytest.fixture(scope="module")
def told(checkout: Path) -> Path:
    """The same copy after all commands of the README; each must end well and complain of nothing."""
    tools = checkout.parent / "bin"
    tools.mkdir()
    (tools / "pip").write_text(PIP, encoding="utf-8")
    (tools / "pip").chmod(stat.S_IRWXU)
    path = os.pathsep.join([str(tools), str(COMMAND.parent), os.environ["PATH"]])
    for line in COMMANDS:
        done = subprocess.run(
            ["sh", "-c", line], cwd=checkout, env=environment(PATH=path, PYTHON=sys.executable),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert done.stdout, line
        assert "Warning" not in done.stderr, (line, done.stderr)
    return checkout


def test_the_two_commands_that_set_everything_up_stand_first() -> None:
    assert [block.strip() for block in blocks("sh")[:2]] == [
        "pip install . && thousandfold run examples/respect",
        "pip install tox && tox",
    ]


def test_the_commands_of_the_readme_end_well_and_leave_what_it_says(told: Path) -> None:
    assert len(COMMANDS) > 5
    assert {path.name for path in (told / "outputs").iterdir()} == {"README.md", "respect", "mine"}
    release = release_in(told / "outputs" / "respect")
    made = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    (drawn,) = (block for block in blocks("text") if block.startswith("outputs/respect/\n"))
    named = set(re.findall(r"^    ([\w.*/-]+)", drawn, re.MULTILINE))
    for name in named:
        pattern = name + "*" if name.endswith("/") else name
        assert any(release.glob(pattern)), name
    folders = {name.partition("/")[0] for name in named}
    assert {name.partition("/")[0] for name in made} == folders
    assert set(re.findall(r"^  ([A-Za-z.]+)\b", drawn, re.MULTILINE)) == {"ledger.sqlite", "LATEST", "releases"}


def test_the_exemplar_it_shows_is_in_the_release(told: Path) -> None:
    train = (release_in(told / "outputs" / "respect") / "train" / "sft.jsonl").read_text(encoding="utf-8")
    (line,) = (line for block in blocks("text") for line in block.splitlines() if line.startswith('{"id"'))
    (shown_id,) = re.findall(r'"id": "(d-[0-9a-f]+)"', line)
    assert f'"id": "{shown_id}"' in train


def test_its_python_runs_as_it_stands(told: Path) -> None:
    (code,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=told, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "outputs/library/releases/" in done.stdout


@pytest.mark.parametrize("block", blocks("toml"))
def test_its_toml_parses(block: str) -> None:
    assert tomllib.loads(block)


def test_it_names_every_command_and_no_other() -> None:
    named = re.findall(r"^\| `thousandfold (judge [a-z]+|[a-z]+)", README, re.MULTILINE)
    alone = {name for name, command in main.commands.items() if not isinstance(command, click.Group)}
    assert main.commands.keys() - alone == {"judge"}
    assert sorted(named) == sorted([*alone, *(f"judge {name}" for name in judge.commands)])


def test_it_names_every_common_option() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| `--")]
    named = {word for row in rows for word in re.findall(r"`(--[a-z-]+)", row.split("|")[1])}
    options = {word for parameter in main.commands["run"].params for word in parameter.opts if word.startswith("--")}
    assert named == options


def test_files_it_links_to_are_there() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
