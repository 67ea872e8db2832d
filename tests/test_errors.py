"""The error tree: three parts, one exit code each, and the picture in the module's docstring is true."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from thousandfold.gen import errors
from thousandfold.gen.errors import InterruptedRunError, ThousandfoldError

TREE = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, ThousandfoldError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: str(kind.__name__))
def test_an_error_says_what_why_and_what_to_do(kind: type[ThousandfoldError]) -> None:
    error = kind(what="size = 0", why="a release holds at least one exemplar", do="give a size of 1 or more")
    assert (error.what, error.why, error.do) == (
        "size = 0",
        "a release holds at least one exemplar",
        "give a size of 1 or more",
    )
    assert str(error) == "size = 0\n  why: a release holds at least one exemplar\n  do:  give a size of 1 or more"
    assert error.args == ("size = 0",)


def test_the_parts_cannot_be_left_out_or_given_in_the_wrong_order() -> None:
    with pytest.raises(TypeError):
        ThousandfoldError("what", "why", "do")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ThousandfoldError(what="what", why="why")  # type: ignore[call-arg]


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = dict(re.findall(r"(\w+Error) +exit (\d+(?: or \d+)?)", errors.__doc__ or ""))
    assert set(drawn) == {kind.__name__ for kind in TREE}
    for kind in TREE:
        if kind is not InterruptedRunError:
            assert drawn[kind.__name__] == str(kind.exit_code), kind.__name__
    assert drawn["InterruptedRunError"] == "130 or 143"


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert {kind.__name__: kind.exit_code for kind in TREE if kind is not InterruptedRunError} == {
        "ThousandfoldError": 1,
        "RecipeError": 2,
        "OutputError": 2,
        "TeacherError": 1,
        "MissingExtraError": 2,
        "TeacherSetUpError": 1,
        "OfflineError": 1,
        "DamageError": 1,
        "StorageError": 1,
        "LockedError": 75,
    }


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143)])
def test_an_interrupted_run_exits_as_a_shell_expects(signum: int, code: int) -> None:
    assert InterruptedRunError(what="a", why="b", do="c", signum=signum).exit_code == code


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: str(kind.__name__))
def test_an_error_can_be_sent_home_from_a_worker_process(kind: type[ThousandfoldError]) -> None:
    error = kind(what="a", why="b", do="c")
    error.exit_code = 143
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.what, again.why, again.do, again.exit_code, str(again)) == ("a", "b", "c", 143, str(error))
