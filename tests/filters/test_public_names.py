"""The package as other pipelines import it: cheap, sorted, and without gen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from thousandfold import filters


def run(code: str) -> str:
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_importing_filters_loads_no_heavy_package() -> None:
    code = (
        "import sys; from thousandfold import filters; "
        "print(sorted({'polars', 'numpy', 'datasketch', 'scipy'} & set(sys.modules)))"
    )
    assert run(code) == "[]"


def test_every_filter_works_where_gen_cannot_be_imported() -> None:
    code = (
        "import sys; sys.modules['thousandfold.gen'] = None; from thousandfold import filters; "
        "[getattr(filters, name) for name in filters.__all__]; "
        "print(filters.near_duplicates(['a b', 'a b'])['kept'].to_list())"
    )
    assert run(code) == "[True, False]"


def test_public_names_are_sorted_listed_and_there() -> None:
    assert filters.__all__ == sorted(filters.__all__)
    assert set(filters.__all__) <= set(dir(filters))
    assert all(getattr(filters, name) is not None for name in filters.__all__)


@pytest.mark.parametrize("first", ["import thousandfold.filters.form", "filters.form_scores", "filters.form"])
def test_form_is_the_function_whatever_was_loaded_before_it(first: str) -> None:
    code = f"from thousandfold import filters; {first}; from thousandfold.filters import form; "
    assert run(f"{code} print(form is filters.form, type(form).__name__)") == "True function"


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match=r"module 'thousandfold.filters' has no attribute 'near_duplicate'"):
        filters.near_duplicate  # noqa: B018


def test_a_filter_error_is_a_value_error_in_three_parts() -> None:
    error = filters.FilterError(what="threshold is 7", why="it is a share", do="give 0.7")
    assert isinstance(error, ValueError)
    assert (error.what, error.why, error.do) == ("threshold is 7", "it is a share", "give 0.7")
    assert str(error) == "threshold is 7\n  why: it is a share\n  do:  give 0.7"
