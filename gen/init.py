"""A recipe to begin with: one that runs as it is, around the user's seeds where there are some."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

from .errors import OutputError, RecipeError
from .recipe import load
from .seeds import read_seeds, read_text
from .text import on_screen


def write_starter(folder: Path, seeds: Path | None = None) -> int:
    """Writes a recipe into `folder` (new or empty) and returns the number of its seeds.

    `seeds` is a .jsonl, .json (a list) or .md file, or a directory of them. The recipe is checked before it
    is put in place, so a file that cannot be used leaves nothing behind.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            what=f"{str(folder)!r} exists and is not an empty directory",
            why="a recipe that you wrote could be overwritten",
            do="give the name of a new directory",
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        near = folder if folder.exists() else folder.parent  # on the same disk, so that renaming is all it takes
        with tempfile.TemporaryDirectory(dir=near, prefix=".thousandfold-") as scratch:
            made = Path(scratch) / "recipe"
            count = _fill(made, _name(folder), seeds)
            if folder.exists():  # perhaps somebody's working directory: filled, not replaced
                for entry in made.iterdir():
                    entry.rename(folder / entry.name)
            else:
                made.rename(folder)
    except OSError as error:
        raise OutputError(
            what=f"{str(folder)!r} cannot be written: {error.strerror}",
            why="the starter recipe goes there",
            do="choose a directory that you may write",
        ) from error
    return count


def _fill(made: Path, name: str, seeds: Path | None) -> int:
    with as_file(files(__package__) / "starter") as shipped:
        shutil.copytree(shipped, made, ignore=shutil.ignore_patterns("__pycache__"))
    recipe = made / "recipe.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("{name}", name), encoding="utf-8")
    if seeds is not None:
        for own in (made / "seeds").iterdir():
            own.unlink()
        _copy_seeds(seeds, made / "seeds")
    try:
        return read_seeds(load(made)).height
    except RecipeError as error:
        # The scratch copy is about to vanish: name the file that the user knows.
        place = str(seeds) if seeds is not None and seeds.is_file() else str(made)
        copied = next((str(p) for p in (made / "seeds").iterdir() if str(p) in error.what), str(made))
        raise RecipeError(what=error.what.replace(copied, place), why=error.why, do=error.do) from error


def _copy_seeds(source: Path, target: Path) -> None:
    if not source.exists():
        raise RecipeError(
            what=f"the seeds file {str(source)!r} does not exist",
            why="every context descends from a seed",
            do="give a .jsonl, .json or .md file, or a directory of them",
        )
    for path in sorted(source.iterdir()) if source.is_dir() else [source]:
        if path.suffix == ".json":
            (target / f"{path.stem}.jsonl").write_text(_lines(path), encoding="utf-8")
        elif path.suffix in (".jsonl", ".md"):
            shutil.copyfile(path, target / path.name)
        elif not source.is_dir():
            raise RecipeError(
                what=f"the seeds file {str(path)!r} is of the unknown kind {path.suffix or 'without suffix'}",
                why="its suffix says how it is read",
                do="give a .jsonl, .json (a list of objects) or .md file",
            )


def _lines(path: Path) -> str:
    try:
        records = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise RecipeError(
            what=f"{path}:{error.lineno} is not valid JSON: {error.msg}",
            why="a .json file of seeds is one list of objects",
            do="mend that line, or give one object a line in a .jsonl file",
        ) from None
    if not isinstance(records, list):
        raise RecipeError(
            what=f"{path} holds a {type(records).__name__}, not a list",
            why="a .json file of seeds is one list of objects",
            do="put the objects into a list, or give one object a line in a .jsonl file",
        )
    return "".join(json.dumps(record, ensure_ascii=True) + "\n" for record in records)


def _name(folder: Path) -> str:
    """The directory's name as a recipe's name: letters, digits, dots, dashes and underscores."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", on_screen(folder.resolve().name)).strip("-._")
    return name[:64] or "recipe"
