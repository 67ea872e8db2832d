"""One output directory: ours or refused, held by one run, and LATEST names a whole release or an error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from thousandfold.gen.errors import LockedError, OutputError, StorageError
from thousandfold.gen.output import Output, disk_trouble


def used(path: Path) -> Output:
    """A directory with a ledger in it."""
    output = Output.prepare(path)
    with output.ledger():
        pass
    return output


# ── is it ours ──


def test_a_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    output = Output.prepare(tmp_path / "a" / "b")
    assert output.path.is_dir()
    assert list(output.path.iterdir()) == []


def test_an_empty_directory_and_our_own_are_taken(tmp_path: Path) -> None:
    used(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert Output.prepare(tmp_path).ledger_path == tmp_path / "ledger.sqlite"


def test_a_directory_of_somebody_else_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(OutputError) as caught:
        Output.prepare(tmp_path)
    assert caught.value.what == (
        f"{str(tmp_path)!r} is not empty and not ours: it holds 'thesis.tex' and no ledger.sqlite"
    )
    assert caught.value.do == "choose another directory with --out, or empty this one"
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="cannot be used as an output directory: File exists"):
        Output.prepare(tmp_path / "out")


PREPARE = """
import os, sys
from thousandfold.gen.errors import OutputError
from thousandfold.gen.output import Output
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    Output.prepare(sys.argv[1])
except OutputError as error:
    print(error.what)
"""


def test_a_directory_that_may_not_be_written_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        for path in (folder, f"{folder}/below"):
            said = subprocess.run([sys.executable, "-c", PREPARE, path], capture_output=True, text=True, check=True)
            assert said.stdout.lower() == f"{path!r} cannot be used as an output directory: permission denied\n".lower()
        Path(folder).chmod(0o755)


@pytest.mark.parametrize(("there", "state"), [(True, "holds no ledger.sqlite"), (False, "does not exist")])
def test_a_directory_without_a_ledger_is_no_output(tmp_path: Path, there: bool, state: str) -> None:
    path = tmp_path / "out"
    if there:
        path.mkdir()
    with pytest.raises(OutputError) as caught:
        Output.existing(path)
    assert caught.value.what == f"{str(path)!r} {state}"
    assert path.exists() == there


def test_an_output_directory_is_found_again(tmp_path: Path) -> None:
    used(tmp_path)
    with Output.existing(str(tmp_path)).ledger(read_only=True) as ledger:
        assert ledger.spent().replies == 0


# ── one run at a time ──

HOLD = """
import sys
from thousandfold.gen.output import Output
with Output.existing(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_directory_is_held_by_one_process(tmp_path: Path) -> None:
    output = used(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError) as caught, output.locked():
            pass
        assert caught.value.what == f"another run holds {str(tmp_path)!r}"
        assert caught.value.exit_code == 75
        other.kill()  # a run that is killed leaves no lock behind
        other.wait()
        with output.locked():
            pass


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    output = used(tmp_path)
    with pytest.raises(ZeroDivisionError), output.locked():
        raise ZeroDivisionError
    with output.locked(), pytest.raises(LockedError), Output(tmp_path).locked():
        pass


# ── releases ──


def with_releases(path: Path, *names: str) -> Output:
    for name in names:
        (path / "releases" / name).mkdir(parents=True)
    return used(path) if not (path / "releases").exists() else Output(path)


def test_releases_are_listed_oldest_first_without_what_a_crash_left(tmp_path: Path) -> None:
    output = with_releases(tmp_path, "2026-02-01-bb", "2026-01-01-aa", ".tmp-2026-03-01-cc")
    (output.releases_path / "stray.txt").write_text("x")
    assert [p.name for p in output.releases()] == ["2026-01-01-aa", "2026-02-01-bb"]


def test_an_output_without_releases_has_none(tmp_path: Path) -> None:
    assert (Output(tmp_path).releases(), Output(tmp_path).latest()) == ([], None)


def test_latest_is_the_release_pointed_to(tmp_path: Path) -> None:
    output = with_releases(tmp_path, "2026-01-01-aa", "2026-02-01-bb")
    for name in ("2026-02-01-bb", "2026-01-01-aa"):
        output.point_to(output.releases_path / name)
        assert output.latest() == output.releases_path / name
    assert (tmp_path / "LATEST").read_bytes() == b"2026-01-01-aa\n"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".LATEST")]


@pytest.mark.parametrize("text", [b"2026-09-09-zz\n", b"", b"\n", b"..", b".tmp-x", b"\xff\xfe"])
def test_a_latest_that_names_no_release_is_an_error(tmp_path: Path, text: bytes) -> None:
    output = with_releases(tmp_path, "2026-01-01-aa", ".tmp-x")
    (tmp_path / "LATEST").write_bytes(text)
    with pytest.raises(OutputError) as caught:
        output.latest()
    name = text.decode(errors="replace").strip()
    assert caught.value.what == f"{tmp_path / 'LATEST'} names {name!r}, which is not in {output.releases_path}"


def test_what_an_interrupted_release_left_is_swept(tmp_path: Path) -> None:
    output = with_releases(tmp_path, "2026-01-01-aa", ".tmp-x")
    (output.releases_path / ".tmp-x" / "half.jsonl").write_text("{")
    output.sweep()
    assert [p.name for p in output.releases_path.iterdir()] == ["2026-01-01-aa"]


def test_a_pointer_that_cannot_be_written_is_a_trouble_of_the_disk(tmp_path: Path) -> None:
    output = with_releases(tmp_path, "2026-01-01-aa")
    (tmp_path / ".LATEST.tmp").mkdir()  # in the way
    with pytest.raises(StorageError) as caught:
        output.point_to(output.releases_path / "2026-01-01-aa")
    assert caught.value.what == f"writing to {tmp_path} failed: Is a directory"
    assert output.latest() is None


def test_a_full_disk_is_named() -> None:
    trouble = disk_trouble(Path("out"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert trouble.what == "writing to out failed: No space left on device"
    assert trouble.exit_code == 1
