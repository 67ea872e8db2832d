"""One output directory: is it ours, who holds it, what releases it has."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import LockedError, OutputError, StorageError
from .ledger import Ledger
from .text import storable

LEDGER = "ledger.sqlite"
LATEST = "LATEST"
RELEASES = "releases"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Output:
    """`OUT`: the ledger, the releases, and the name of the newest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def existing(cls, path: str | Path) -> Output:
        """The output directory at `path`. Raises OutputError where there is none of ours."""
        output = cls(Path(path))
        if not output.ledger_path.is_file():
            state = "does not exist" if not output.path.exists() else f"holds no {LEDGER}"
            raise OutputError(
                what=f"{str(path)!r} {state}",
                why="an output directory of thousandfold has its ledger in it",
                do="give the directory that `thousandfold run` wrote, for example outputs/respect",
            )
        return output

    @classmethod
    def prepare(cls, path: str | Path) -> Output:
        """Makes `path`, or takes it if it is ours or empty. Raises OutputError otherwise."""
        output = cls(Path(path))
        if "\ufffd" in storable(str(path)):
            raise OutputError(
                what=f"{str(path)!r} cannot be used as an output directory: its name is not UTF-8",
                why="the tables in it could not be written or read",
                do="choose another name with --out",
            )
        try:
            output.path.mkdir(parents=True, exist_ok=True)
            strangers = [p.name for p in output.path.iterdir() if p.name != ".lock"]
            if strangers and not output.ledger_path.is_file():
                raise OutputError(
                    what=f"{str(path)!r} is not empty and not ours: it holds {sorted(strangers)[0]!r} and no {LEDGER}",
                    why="files of yours could be mistaken for ours, or ours for yours",
                    do="choose another directory with --out, or empty this one",
                )
            if not os.access(output.path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "permission denied")
        except OSError as error:
            if error.errno in FULL:
                raise disk_trouble(output.path, error) from error
            raise OutputError(
                what=f"{str(path)!r} cannot be used as an output directory: {error.strerror}",
                why="the ledger and the releases are written there",
                do="choose a directory that you may write with --out",
            ) from error
        return output

    @property
    def ledger_path(self) -> Path:
        return self.path / LEDGER

    @property
    def releases_path(self) -> Path:
        return self.path / RELEASES

    @contextmanager
    def ledger(self, *, read_only: bool = False) -> Iterator[Ledger]:
        with Ledger(self.ledger_path, read_only=read_only) as ledger:
            yield ledger

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for this process. Raises LockedError at once if another has it."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise LockedError(
                what=f"another run holds {str(self.path)!r}",
                why="two runs on one ledger would pay twice for the same replies",
                do="wait for it to end (`thousandfold status` shows how far it is), or give another --out",
            ) from None
        except OSError as error:
            raise OutputError(
                what=f"{str(self.path / '.lock')!r} cannot be locked: {error.strerror}",
                why="the lock keeps two runs from paying twice",
                do="remove what stands there, or choose another directory with --out",
            ) from error
        try:
            yield
        finally:
            lock.release()  # the file stays: unlinking it would let two others each lock one of their own

    def releases(self) -> list[Path]:
        """Finished releases, oldest name first; what a crash left under a temporary name is not among them."""
        if not self.releases_path.is_dir():
            return []
        return sorted(p for p in self.releases_path.iterdir() if p.is_dir() and not p.name.startswith("."))

    def newest(self, *, why: str) -> Path:
        """`latest`, for whoever needs one. Raises OutputError, which says `why`, where there is none."""
        release = self.latest()
        if release is None:
            raise OutputError(
                what=f"{str(self.path)!r} has no release yet",
                why=why,
                do="finish a run first: `thousandfold run RECIPE`",
            )
        return release

    def latest(self) -> Path | None:
        """The release that LATEST names; None where there is none yet."""
        pointer = self.path / LATEST
        if not pointer.is_file():
            return None
        name = pointer.read_text(encoding="utf-8", errors="replace").strip()
        release = self.releases_path / name
        if release not in self.releases():
            raise OutputError(
                what=f"{pointer} names {name!r}, which is not in {self.releases_path}",
                why="the newest release cannot be found",
                do="restore the release, or delete LATEST and run again: it is rebuilt from the ledger for free",
            )
        return release

    def point_to(self, release: Path) -> None:
        """Makes `release` the newest, atomically."""
        temporary = self.path / ".LATEST.tmp"
        try:
            temporary.write_text(release.name + "\n", encoding="utf-8")
            sync(temporary)
            temporary.replace(self.path / LATEST)
            sync(self.path)
        except OSError as error:
            raise disk_trouble(self.path, error) from error

    def sweep(self) -> None:
        """Removes what an interrupted release left behind; called under the lock."""
        for path in self.releases_path.glob(".tmp-*"):
            shutil.rmtree(path, ignore_errors=True)


def sync(path: Path) -> None:
    """Flushes a file or directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def disk_trouble(path: Path, error: OSError) -> StorageError:
    return StorageError(
        what=f"writing to {path} failed: {error.strerror}",
        why="nothing half-written is kept as a release, and the ledger is as it was",
        do="free space or mend the disk, then run the same command again: it resumes",
    )
