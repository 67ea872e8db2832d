"""The files of a recipe directory: which there are, what is in them, and what is said where one cannot be read."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thousandfold import prompts

from .errors import RecipeError
from .settings import Settings


def folder_of(path: Path) -> Path:
    folder = path.parent if path.name == "recipe.toml" else path
    try:
        trouble = "holds no recipe.toml" if folder.exists() else "does not exist"
        found = (folder / "recipe.toml").is_file()
    except OSError as error:  # not permitted, or no possible path
        trouble, found = f"cannot be read: {error.strerror}", False
    if not found:
        raise RecipeError(
            what=f"the recipe {str(path)!r} {trouble}",
            why="a recipe is a directory with recipe.toml, axes.toml, seeds/ and values/",
            do="give the path of one, or write a starter with `thousandfold init DIR`",
        )
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    """relative path -> content of every file that is part of the recipe, sorted; hidden files are not."""
    found = {folder / "recipe.toml", folder / "axes.toml"}
    for pattern in ("seeds/*.md", "seeds/*.jsonl", "values/*.toml", "prompts/*.md"):
        found.update(path for path in folder.glob(pattern) if not path.name.startswith("."))
    names = {path.relative_to(folder).as_posix(): path for path in sorted(found)}
    for name, path in names.items():
        if not name.isprintable():
            raise RecipeError(
                what=f"{folder} holds a file with the name {name!r}",
                why="the release keeps the recipe's files by name, in UTF-8",
                do="rename the file",
            )
        if name.startswith("prompts/") and path.stem not in prompts.NAMES:
            raise RecipeError(
                what=f"{path} is named after no question",
                why="a prompt that is not read would be silently without effect",
                do=f"name it after the question it words: {', '.join(f'{name}.md' for name in prompts.NAMES)}",
            )
    return {name: bytes_of(path) for name, path in names.items()}


def named_files(settings: Settings) -> Iterator[tuple[str, str]]:
    """(key, file) of the files with texts to compare with."""
    if settings.tics.reference is not None:
        yield "tics.reference", settings.tics.reference
    yield from ((f"filters.benchmarks.{name}", file) for name, file in settings.filters.benchmarks.items())


def with_file(files: dict[str, bytes], folder: Path, key: str, name: str) -> dict[str, bytes]:
    """The files with one that a setting names, so that its content is part of the recipe, its hash and its releases."""
    if name in files:
        return files
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts or not name.isprintable() or Path(name).as_posix() != name:
        raise RecipeError(
            what=f"{folder / 'recipe.toml'}: {key} = {name!r} is no file in the recipe's directory",
            why="the release keeps the recipe's files, so that it can be made again",
            do="copy the file there and give its path from there, such as reference/texts.jsonl",
        )
    return dict(sorted({**files, name: bytes_of(folder / name)}.items()))


def bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RecipeError(
            what=f"{path} is missing",
            why="a recipe needs it to say what contexts and values there are",
            do="write it, or copy one from a starter made by `thousandfold init DIR`",
        ) from None
    except OSError as error:
        raise RecipeError(
            what=f"{path} cannot be read: {error.strerror}",
            why="the recipe is read before anything is asked",
            do="check the file's kind and permissions",
        ) from error


def toml_of(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            what=f"{path}:{line} is not UTF-8: byte 0x{data[error.start]:02x}",
            why="TOML files are UTF-8",
            do="save the file as UTF-8",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            what=f"{path} is not valid TOML: {error}",
            why="nothing in it can be trusted until it parses",
            do="mend that line",
        ) from error
