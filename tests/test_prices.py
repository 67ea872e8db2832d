"""Prices: the recipe's before the list's, a name before a pattern, and unknown is not zero."""

from __future__ import annotations

from datetime import date

import pytest

from thousandfold.gen.prices import matching, price_list, prices_of
from thousandfold.gen.settings import Price, TeacherSettings
from thousandfold.gen.teachers import make

MINI = Price(input=0.25, cached_input=0.025, output=2.0)


def prices(*specs: str, **own: Price) -> dict[str, Price]:
    return prices_of([make(spec, TeacherSettings(model=spec)) for spec in specs], own)


def test_the_list_is_dated_and_says_where_it_is_from() -> None:
    found = price_list()
    assert date.fromisoformat(found.date).year >= 2026
    assert found.version.startswith(found.date)
    assert found.source


def test_every_price_of_the_list_is_whole() -> None:
    for host, models in price_list().by_host.items():
        assert host.count(".") >= 2 or host == "api.x.ai"
        assert models
        for name, price in models.items():
            assert 0 < (price.cached_input or price.input) <= price.input < price.output * 1.001, name
            assert (price.cache_write or price.input) >= price.input, name


@pytest.mark.parametrize("name", ["gpt-5-mini", "gpt-5-mini-2025-08-07"])
def test_a_hosted_model_has_the_price_of_its_provider(name: str) -> None:
    assert prices(f"openai:{name}") == {f"openai:{name}": MINI}


@pytest.mark.parametrize(
    "spec",
    [
        "openai:gpt-5-mini@http://127.0.0.1:8000/v1",  # somebody else's server, somebody else's price
        "openai:gpt-5-mini@https://eu.api.openai.com/v1",
        "openai:gpt-5-mini-search",
        "openai:gpt-99",
        "openai:deepseek-v4-pro",
    ],
)
def test_what_the_list_does_not_say_is_unknown(spec: str) -> None:
    assert prices(spec) == {}


def test_another_provider_is_known_by_its_address() -> None:
    (price,) = prices("openai:deepseek-v4-pro@https://api.deepseek.com/v1").values()
    assert (price.input, price.cached_input, price.output) == (1.32, 0.044, 3.96)


def test_the_recipe_goes_before_the_list() -> None:
    own = Price(input=1, output=1)
    assert prices("openai:gpt-5-mini", **{"openai:gpt-5-mini": own}) == {"openai:gpt-5-mini": own}
    assert prices("openai:gpt-5-mini", **{"openai:gpt-5*": own}) == {"openai:gpt-5-mini": own}
    assert prices("openai:gpt-5-mini", **{"openai:other": own}) == {"openai:gpt-5-mini": MINI}


def test_a_name_goes_before_a_pattern_and_a_longer_pattern_before_a_shorter() -> None:
    table = {"gpt-*": 1, "gpt-5*": 2, "gpt-5": 3, "gpt-5-2025-08-07": 4}
    names = ["gpt-4", "gpt-5-nano", "gpt-5", "gpt-5-2025-08-07", "gpt-5-2025-09-09", "o3"]
    assert [matching(table, name) for name in names] == [1, 2, 3, 4, 3, None]
