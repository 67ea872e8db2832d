"""The public names of thousandfold.gen: sorted, importable, and nothing else by accident."""

from __future__ import annotations

import importlib

import pytest

from thousandfold import gen

DOCUMENTED = ("run", "load", "judge", "plan", "teacher", "covering_plan", "select", "ThousandfoldError")


def test_public_names_are_sorted_and_each_once() -> None:
    assert gen.__all__ == sorted(set(gen.__all__))


@pytest.mark.parametrize("name", gen.__all__)
def test_every_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    value = getattr(gen, name)
    assert value.__name__ == name
    assert (value.__doc__ or "").strip()
    assert value.__module__.startswith("thousandfold.gen.")


def test_the_documented_names_are_public() -> None:
    assert [name for name in DOCUMENTED if name not in gen.__all__] == []


def test_every_error_class_is_public() -> None:
    errors = importlib.import_module("thousandfold.gen.errors")
    classes = {name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__}
    assert classes == {name for name in gen.__all__ if name.endswith("Error")}


def test_dir_offers_the_public_names_before_any_is_loaded() -> None:
    assert set(gen.__all__) <= set(dir(gen))


def test_a_name_that_does_not_exist_is_an_attribute_error_with_that_name() -> None:
    with pytest.raises(AttributeError, match=r"'thousandfold\.gen' has no attribute 'fold'"):
        _ = gen.fold
