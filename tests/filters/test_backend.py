"""Where the machine code is kept, and what happens where numba cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = """
from thousandfold.filters.backend import kernel


@kernel
def doubled(number):
    return 2 * number


print(doubled(21), doubled.nopython_signatures != [])
"""


def printed(code: str, **environment: str) -> str:
    """What a fresh interpreter prints, warnings being errors there too; it must not say anything else."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.fixture
def small(tmp_path: Path) -> str:
    """Code that imports a module whose own cache folder cannot be made: a file has its name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "small.py").write_text(SMALL)
    (folder / "__pycache__").write_text("in the way")
    return f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(folder)!r}); import small"


def test_machine_code_goes_to_the_users_cache_folder_where_the_package_cannot_be_written(
    small: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert printed(small, XDG_CACHE_HOME=str(cache), HOME=str(tmp_path), NUMBA_CACHE_DIR="") == "42 True\n"
    if sys.platform == "linux":
        assert [path.suffix for path in cache.rglob("small.doubled*.nbi")] == [".nbi"]


def test_a_kernel_compiles_in_memory_where_no_folder_can_be_written(small: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("in the way")
    assert printed(small, XDG_CACHE_HOME=str(nowhere), HOME=str(nowhere), NUMBA_CACHE_DIR="") == "42 True\n"
    assert nowhere.read_text() == "in the way"


@pytest.mark.parametrize("breakage", ["None", "types.ModuleType('numba')"])
def test_without_a_numba_that_works_numpy_gives_the_same_answer(breakage: str) -> None:
    ask = """
from thousandfold import filters
from thousandfold.filters.backend import backend
seen = filters.near_duplicates(["a b c d e f g", "A b c, d e f g!", None, "我很抱歉我很抱歉", "x"])
print(backend().__name__.rpartition(".")[2], seen["kept"].to_list(), seen["twin"].to_list(), seen["cluster"].to_list())
"""
    whole = printed(ask)
    assert whole.startswith("compiled [")
    broken = printed(f"import sys, types; sys.modules['numba'] = {breakage}\n{ask}")
    assert broken == whole.replace("compiled", "portable")


def test_datasketch_is_not_loaded_to_find_duplicates() -> None:
    code = """
import sys
from thousandfold import filters
index = filters.MinHashIndex()
index.add(["a"], ["one two three"])
filters.near_duplicates(["one two three", "four"], against=index)
filters.minhash_signatures(["x"])
print("datasketch" in sys.modules)
"""
    assert printed(code) == "False\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_process_and_several_threads_give_the_same_answer() -> None:
    code = """
import os, warnings
from concurrent.futures import ThreadPoolExecutor
from thousandfold import filters
texts = [f"text {number % 50} says what it says, and no more than that" for number in range(400)]
expected = filters.minhash_signatures(texts, num_perm=16).tobytes()
with ThreadPoolExecutor(4) as pool:
    assert set(pool.map(lambda _: filters.minhash_signatures(texts, num_perm=16).tobytes(), range(8))) == {expected}
warnings.simplefilter("ignore")  # Python 3.12 warns of any fork beside threads
child = os.fork()
if child == 0:
    os._exit(0 if filters.minhash_signatures(texts, num_perm=16).tobytes() == expected else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert printed(code) == "0\n"
