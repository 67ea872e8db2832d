"""selection → release: write an immutable, versioned directory that training can use, whole or not at all.

Everything is written under a temporary name, flushed, and renamed. The name is the date and a hash of the
content; the same content makes no second release.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from .errors import DamageError
from .output import Output, disk_trouble, sync
from .recipe import Recipe

CONTENT = ("train", "heldout", "formats", "tables", "recipe")
"""The folders whose bytes are the content: the rest (card, manifest) tells about them and knows the time."""

MANIFEST = "manifest.json"
MANIFEST_SUM = "manifest.sha256"
FORMAT = 1
PACKAGES = ("thousandfold", "polars", "numpy", "scipy", "datasketch", "langchain-core", "openai", "pydantic")


@dataclass(frozen=True)
class Release:
    path: Path
    new: bool  # False: the same content was there already


def write_release(
    output: Output,
    recipe: Recipe,
    tables: Mapping[str, pl.DataFrame],
    *,
    exemplars: pl.DataFrame,
    heldout: pl.DataFrame,
    facts: Mapping[str, Any],
    card: str,
    now: datetime,
    formats: Mapping[str, bytes] | None = None,
) -> Release:
    """Writes `tables`, `exemplars` (`id`, `messages`, in greedy order) and `heldout` (`id`, `set`, `messages`).

    `formats` are files in other trainers' shapes, by their paths. `facts` go into the manifest, `card` becomes
    README.md with `{name}` filled in. Raises StorageError where the disk refuses; then no release was made and none
    was touched.
    """
    output.sweep()
    content = {**_content(recipe, exemplars, heldout), **(formats or {})}
    try:
        output.releases_path.mkdir(exist_ok=True)
        temporary = output.releases_path / f".tmp-{sha256(repr(sorted(content)).encode()).hexdigest()[:8]}"
        try:
            sums = _write_all(temporary, content, tables)
            content_sum = sha256("".join(f"{s}  {n}\n" for n, s in sorted(sums.items())).encode()).hexdigest()
            standing = _standing(output, content_sum)
            if standing is not None:
                output.point_to(standing)
                return Release(standing, new=False)
            final = output.releases_path / f"{now:%Y-%m-%d}-{content_sum[:6]}"
            if final.exists():  # six digits clash with other content of the same day
                final = final.with_name(f"{now:%Y-%m-%d}-{content_sum[:16]}")
            _write(temporary / "README.md", card.replace("{name}", final.name).encode())
            _write_manifest(temporary, final.name, content_sum, facts, now)
            for folder in (*(p for p in temporary.rglob("*") if p.is_dir()), temporary):
                sync(folder)
            temporary.rename(final)
            sync(output.releases_path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise disk_trouble(output.releases_path, error) from error
    output.point_to(final)
    return Release(final, new=True)


def read_manifest(release: Path) -> dict[str, Any]:
    """The manifest of a release. Raises DamageError where it is missing or no JSON object."""
    try:
        manifest = json.loads((release / MANIFEST).read_bytes())
        if not isinstance(manifest, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise DamageError(
            what=f"{release / MANIFEST} cannot be read: {error}",
            why="it says what the release holds",
            do="restore the release from a copy, or delete its directory and run again: it is rebuilt for free",
        ) from error
    return manifest


def read_table(release: Path, name: str) -> pl.DataFrame:
    path = release / "tables" / f"{name}.parquet"
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DamageError(
            what=f"{path} cannot be read: {str(error).splitlines()[0]}",
            why="the tables explain every line of the release",
            do="`thousandfold verify OUT` says what else is damaged; restore the release from a copy",
        ) from error


def check_release(release: Path) -> list[str]:
    """What differs from what was written, one sentence each; empty for a sound release."""
    try:
        stated = (release / MANIFEST_SUM).read_bytes()
        manifest = read_manifest(release)
        actual = _sum_line((release / MANIFEST).read_bytes())
    except OSError as error:
        return [f"{release.name}/{MANIFEST_SUM}: {error.strerror}"]
    except DamageError as error:
        return [f"{release.name}/{MANIFEST}: {error.what}"]
    if stated != actual:  # then nothing that it says of the other files can be relied on
        return [f"{release.name}/{MANIFEST}: its sha256 is not the one in {release.name}/{MANIFEST_SUM}"]
    findings = []
    files = manifest["files"]
    present = {p.relative_to(release).as_posix(): p for p in release.rglob("*") if not p.is_dir()}
    extra = set(present) - set(files) - {MANIFEST, MANIFEST_SUM}
    findings += [f"{release.name}/{name}: missing" for name in sorted(set(files) - set(present))]
    findings += [f"{release.name}/{name}: not in the manifest" for name in sorted(extra)]
    for name in sorted(set(present) & set(files)):
        try:
            data = present[name].read_bytes()
        except OSError as error:
            findings.append(f"{release.name}/{name}: cannot be read: {error.strerror}")
            continue
        if sha256(data).hexdigest() != files[name]["sha256"]:
            findings.append(f"{release.name}/{name}: changed ({len(data)} bytes, {files[name]['bytes']} were written)")
    return findings


def _content(recipe: Recipe, exemplars: pl.DataFrame, heldout: pl.DataFrame) -> dict[str, bytes]:
    """path -> bytes of everything but the tables."""
    content = {"train/sft.jsonl": _jsonl(exemplars.select("id", "messages").iter_rows(named=True))}
    for (name,), part in heldout.group_by("set", maintain_order=True):
        content[f"heldout/{name}.jsonl"] = _jsonl(part.select("id", "messages").iter_rows(named=True))
    return content | {f"recipe/{name}": data for name, data in recipe.files.items()}


def _jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _write_all(folder: Path, content: Mapping[str, bytes], tables: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """Writes the content below `folder`; path -> sha256."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in content.items():
        _write(folder / name, data)
    for name, table in tables.items():
        parquet = BytesIO()  # a full disk is an OSError of ours then, not an error of polars' own
        table.write_parquet(parquet, compression="zstd", statistics=False)
        _write(folder / "tables" / f"{name}.parquet", parquet.getvalue())
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    sync(path)


def _standing(output: Output, content_sum: str) -> Path | None:
    """The release that holds this content already; the newest is looked at first."""
    for release in reversed(output.releases()):
        with suppress(DamageError):
            if read_manifest(release).get("content_sha256") == content_sum:
                return release
    return None


def _write_manifest(folder: Path, name: str, content_sum: str, facts: Mapping[str, Any], now: datetime) -> None:
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "format": FORMAT,
        "name": name,
        "created": now.isoformat(timespec="seconds"),
        "content_sha256": content_sum,
        **facts,
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
        "files": files,
    }
    data = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    _write(folder / MANIFEST, data)
    _write(folder / MANIFEST_SUM, _sum_line(data))


def _sum_line(manifest: bytes) -> bytes:
    """As `sha256sum -c` reads it."""
    return f"{sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()
