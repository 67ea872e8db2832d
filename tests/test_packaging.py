"""What is built is what was written: sdist, wheel and editable installs, tried from outside the checkout.

Everything is built once, without a build environment of its own, from a copy of the sources: nothing is left in the
checkout, and no old egg-info can lend the sdist a file that the sources lack.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PACKAGES = ("filters", "gen", "prompts")
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".tox", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build", "dist", "outputs", "venv"
)

# Run where nothing of the checkout can be seen; what it prints is compared below.
PROBE = """
import json
from importlib.resources import files
from importlib.util import find_spec
from thousandfold import filters, gen, prompts
print(json.dumps({
    "homes": [module.__file__ for module in (filters, gen, prompts)],
    "typed": [files(module).joinpath("py.typed").is_file() for module in (filters, gen, prompts)],
    "prompts": sorted(file.name for file in files(prompts).iterdir() if file.name.endswith(".md")),
    "bare": [name for name in ("filters", "gen", "prompts") if find_spec(name)],
}))
"""


def call(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shipped() -> set[str]:
    """Every file of the three folders, under the name it has when installed."""
    return {
        f"thousandfold/{path.relative_to(ROOT).as_posix()}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@dataclass(frozen=True)
class Built:
    """A copy of the sources, the sdist made of it, and the wheel made of that sdist."""

    sources: Path
    sdist: Path
    wheel: Path

    def wheel_names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def sdist_names(self) -> set[str]:
        with tarfile.open(self.sdist) as archive:
            return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    sources = tmp_path_factory.mktemp("sources") / "checkout"
    shutil.copytree(ROOT, sources, ignore=LEFT_BEHIND)
    (sources / "outputs").mkdir()
    shutil.copy(ROOT / "outputs" / "README.md", sources / "outputs")
    out = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, sources, cwd=out)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(sources, sdist, wheel)


@pytest.fixture(scope="module")
def needs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with everything that is installed beside us, and without us."""
    beside = tmp_path_factory.mktemp("needs")
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            ours = entry.name.lower().startswith(("thousandfold", "__editable__"))
            if not ours and not (beside / entry.name).is_symlink():
                (beside / entry.name).symlink_to(entry)
    return beside


@dataclass(frozen=True)
class Venv:
    """A new virtual environment that sees our needs but not our checkout."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def site(self) -> Path:
        (site,) = self.folder.rglob("site-packages")
        return site

    def install(self, *what: str | Path) -> None:
        pip = (sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--quiet")
        call(*pip, "--no-deps", "--no-index", "--no-build-isolation", *what, cwd=self.folder)

    def probe(self) -> dict[str, list[str]]:
        seen: dict[str, list[str]] = json.loads(call(self.bin / "python", "-c", PROBE, cwd=self.folder))
        return seen


@pytest.fixture
def venv(tmp_path: Path, needs: Path) -> Venv:
    made = Venv(tmp_path / "venv")
    call(sys.executable, "-m", "venv", "--without-pip", made.folder, cwd=tmp_path)
    (made.site / "needs.pth").write_text(f"{needs}\n", encoding="utf-8")
    return made


def works_from_outside(venv: Venv, homes: list[Path]) -> None:
    """Asserts that the installed package is whole, is the one meant, and that its command answers."""
    assert venv.probe() == {
        "homes": [str(home / "__init__.py") for home in homes],
        "typed": [True, True, True],
        "prompts": sorted(path.name for path in (ROOT / "prompts").glob("*.md")),
        "bare": [],
    }
    assert call(venv.bin / "thousandfold", "--help", cwd=venv.folder).startswith("Usage: thousandfold")


def test_the_wheel_holds_every_file_of_the_three_folders_and_nothing_else(built: Built) -> None:
    installed = {name for name in built.wheel_names() if ".dist-info/" not in name}
    assert sorted(shipped() - installed) == []
    assert sorted(installed - shipped()) == []


def test_the_wheel_holds_what_is_read_at_run_time(built: Built) -> None:
    names = built.wheel_names()
    assert {f"thousandfold/{package}/py.typed" for package in PACKAGES} <= names
    for start, end in [
        ("thousandfold/prompts/", ".md"),
        ("thousandfold/gen/teachers/rehearsal/fragments/", ".toml"),
        ("thousandfold/gen/starter/", ".toml"),
    ]:
        assert [name for name in names if name.startswith(start) and name.endswith(end)], f"no {start}*{end}"


def test_the_wheel_puts_one_name_into_site_packages(built: Built) -> None:
    first = {name.partition("/")[0] for name in built.wheel_names()}
    assert {name for name in first if not name.endswith(".dist-info")} == {"thousandfold"}
    assert "thousandfold/__init__.py" not in built.wheel_names(), "the namespace must stay one"


def test_the_wheel_says_its_licence_its_python_and_its_command(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (info,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        commands = archive.read(f"{info}/entry_points.txt").decode()
        licence = archive.read(f"{info}/licenses/LICENSE")
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert {"dev", "vllm"} <= set(metadata.get_all("Provides-Extra", []))
    assert commands.split("\n")[:2] == ["[console_scripts]", "thousandfold = thousandfold.gen.cli:main"]
    assert licence == (ROOT / "LICENSE").read_bytes()


def test_the_sdist_holds_the_tests_the_example_and_what_runs_them(built: Built) -> None:
    names = built.sdist_names()
    assert {"LICENSE", "README.md", "pyproject.toml", "tox.ini", "toxfile.py", ".ci/run", "outputs/README.md"} <= names
    for folder in (*PACKAGES, "tests", "examples", "benchmarks", "docs"):
        here = {f"{folder}/{path.relative_to(ROOT / folder).as_posix()}" for path in (ROOT / folder).rglob("*.*")}
        wanted = {name for name in here if (built.sources / name).is_file()}
        assert sorted(wanted - names) == []


def test_the_wheel_works_outside_the_checkout(built: Built, venv: Venv) -> None:
    venv.install(built.wheel)
    works_from_outside(venv, [venv.site / "thousandfold" / package for package in PACKAGES])


def test_the_sdist_installs_and_works_outside_the_checkout(built: Built, venv: Venv) -> None:
    venv.install(built.sdist)
    works_from_outside(venv, [venv.site / "thousandfold" / package for package in PACKAGES])


def test_an_editable_install_works_and_is_the_checkout(built: Built, venv: Venv) -> None:
    venv.install("--editable", built.sources)
    works_from_outside(venv, [built.sources / package for package in PACKAGES])


def test_a_strict_editable_install_works_and_follows_the_checkout(built: Built, venv: Venv) -> None:
    venv.install("--editable", built.sources, "--config-settings", "editable_mode=strict")
    homes = [Path(home) for home in venv.probe()["homes"]]
    assert [home.resolve() for home in homes] == [built.sources / package / "__init__.py" for package in PACKAGES]
    works_from_outside(venv, [home.parent for home in homes])


def needed_by(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Every distribution that installing `name` pulls, by the metadata of what is installed here."""
    found: set[str] = set()
    todo = [(name, extras)]
    while todo:
        current, wanted = todo.pop()
        if current in found and not wanted:
            continue
        found.add(current)
        try:
            lines = requires(current) or []
        except PackageNotFoundError:
            continue
        for line in lines:
            requirement = Requirement(line)
            asked = not requirement.marker or any(requirement.marker.evaluate({"extra": e}) for e in wanted | {""})
            if asked and requirement.name not in found:
                todo.append((requirement.name, frozenset(requirement.extras)))
    return found


def test_installing_pulls_no_gpu_package() -> None:
    pulled = needed_by("thousandfold")
    assert {"openai", "polars", "scipy"} <= pulled
    gpu = ("cuda", "cupy", "jax", "nvidia", "tensorflow", "torch", "triton", "vllm")
    assert sorted(name for name in pulled if name.lower().startswith(gpu)) == []


def test_every_dependency_is_a_range_with_a_floor_and_never_a_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(line) for line in project["dependencies"]]
    assert [str(need) for need in asked if ">=" not in {part.operator for part in need.specifier}] == []
    assert [str(need) for need in asked if {"==", "==="} & {part.operator for part in need.specifier}] == []


def test_git_keeps_nothing_of_outputs_but_its_readme() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in ignored if "outputs" in line] == ["outputs/*", "!outputs/README.md"]
    assert "made here" in (ROOT / "outputs" / "README.md").read_text(encoding="utf-8")
